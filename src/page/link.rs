//! Links to the AWS console of the account and Region that the function is in.

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::model::FunctionArn;

/// Where the AWS console is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Console {
    region: String,
    domain: &'static str,
}

impl Console {
    pub(super) fn beside(function: &FunctionArn) -> Self {
        let domain = match function.partition.as_str() {
            "aws-cn" => "console.amazonaws.cn",
            "aws-us-gov" => "console.amazonaws-us-gov.com",
            _ => "console.aws.amazon.com",
        };
        Self { region: function.region.clone(), domain }
    }

    pub(super) fn alarm(&self, name: &str) -> String {
        self.link(&format!("cloudwatch/home?region={}#alarmsV2:alarm/{}", self.region, encoded(name)))
    }

    pub(super) fn rule(&self, name: &str) -> String {
        self.link(&format!("events/home?region={}#/eventbus/default/rules/{}", self.region, encoded(name)))
    }

    pub(super) fn code_pipeline(&self, name: &str) -> String {
        self.link(&format!("codesuite/codepipeline/pipelines/{}/view?region={}", encoded(name), self.region))
    }

    fn link(&self, path: &str) -> String {
        format!("https://{}.{}/{path}", self.region, self.domain)
    }
}

/// A name that may stand anywhere in a link.
fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_console_of_the_functions_partition_and_region() {
        let link = |arn: &str| FunctionArn::parse(arn).map(|function| Console::beside(&function).alarm("a/b ä"));
        let [aws, cn, gov] = ["aws:lambda:eu-west-1", "aws-cn:lambda:cn-north-1", "aws-us-gov:lambda:us-gov-west-1"]
            .map(|start| link(&format!("arn:{start}:123456789012:function:f")).unwrap());
        assert_eq!(
            aws,
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#alarmsV2:alarm/a%2Fb%20%C3%A4"
        );
        assert!(cn.starts_with("https://cn-north-1.console.amazonaws.cn/"), "{cn}");
        assert!(gov.starts_with("https://us-gov-west-1.console.amazonaws-us-gov.com/"), "{gov}");
        for other in
            ["", "function", "arn:aws:lambda", "arn:aws:lambda::1:function:f", "arn:aws:lambda:x/y:1:function:f"]
        {
            assert_eq!(link(other), None, "{other}");
        }
    }
}
