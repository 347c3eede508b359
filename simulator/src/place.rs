//! Where the resources are: their Region and account, and so their ARNs.

/// The Region and the account of the resources.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    region: String,
    account: String,
}

impl Place {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned() }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }
}
