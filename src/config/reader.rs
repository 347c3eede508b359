//! Reads environment variables, and collects everything that is wrong with them.

/// Looks variables up. An empty value counts as unset, as templates pass it for "none".
pub(super) struct Reader<'l> {
    lookup: &'l dyn Fn(&str) -> Option<String>,
    /// What keeps the function from starting.
    pub(super) faults: Vec<String>,
    /// What still works, but has to be changed before a later version.
    pub(super) warnings: Vec<String>,
}

impl<'l> Reader<'l> {
    pub(super) fn new(lookup: &'l dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, faults: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// A name that may be unset.
    pub(super) fn optional(&mut self, name: &str, pattern: &NamePattern) -> Option<String> {
        let value = self.value(name)?;
        if !pattern.accepts(&value) {
            self.fault(format!("{name} is {value:?}: give {}", pattern.words));
        }
        Some(value)
    }

    /// A name that has to be set.
    pub(super) fn required(&mut self, name: &str, pattern: &NamePattern) -> Option<String> {
        let value = self.optional(name, pattern);
        if value.is_none() {
            self.fault(format!("{name} is not set: give {}", pattern.words));
        }
        value
    }

    /// A name whose variable was renamed. The old one is still read in this version.
    pub(super) fn renamed(&mut self, name: &str, old_name: &str, pattern: &NamePattern) -> Option<String> {
        let Some(old) = self.value(old_name) else { return self.optional(name, pattern) };
        match self.optional(name, pattern) {
            Some(new) if new != old => {
                self.fault(format!("{name} and {old_name} differ, and both are the same thing: unset {old_name}"));
                Some(new)
            }
            new => {
                self.warnings.push(format!(
                    "{old_name} is now {name}, and a later version will not read the old name: rename it"
                ));
                new.or_else(|| self.optional(old_name, pattern))
            }
        }
    }

    /// No two of these variables may have one value.
    pub(super) fn distinct(&mut self, names: &[(&str, &Option<String>)]) {
        for (i, (name, value)) in names.iter().enumerate() {
            for (other_name, other) in &names[..i] {
                if value.is_some() && value == other {
                    self.fault(format!("{other_name} and {name} have the same value: each needs its own"));
                }
            }
        }
    }
}

/// What a service accepts as a name.
pub(super) struct NamePattern {
    max_length: usize,
    punctuation: &'static str,
    starts_and_ends_alphanumeric: bool,
    words: &'static str,
}

/// `CreatePipeline`'s `PipelineName`: `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}`.
pub(super) const SAGEMAKER_PIPELINE: NamePattern = NamePattern {
    max_length: 256,
    punctuation: "-",
    starts_and_ends_alphanumeric: true,
    words: "1 to 256 letters, digits and inner hyphens (the name, not the ARN)",
};

/// CodePipeline's `PipelineName` and `StageName`: `[A-Za-z0-9.@\-_]+`, 1 to 100 characters.
pub(super) const CODE_PIPELINE: NamePattern = NamePattern {
    max_length: 100,
    punctuation: ".@-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 100 letters, digits and . @ - _",
};

/// EventBridge's `RuleName`: `[\.\-_A-Za-z0-9]+`, 1 to 64 characters.
pub(super) const RULE: NamePattern = NamePattern {
    max_length: 64,
    punctuation: ".-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 64 letters, digits and . - _ (the name, not the ARN)",
};

/// EventBridge Scheduler's `Name`: `[0-9a-zA-Z\-_.]+`, 1 to 64 characters.
pub(super) const SCHEDULE: NamePattern = NamePattern {
    max_length: 64,
    punctuation: ".-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 64 letters, digits and . - _ (the schedule's name, without its group)",
};

impl NamePattern {
    fn accepts(&self, name: &str) -> bool {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !name.is_empty()
            && name.len() <= self.max_length
            && name.chars().all(|c| c.is_ascii_alphanumeric() || self.punctuation.contains(c))
            && (!self.starts_and_ends_alphanumeric || (edge(name.chars().next()) && edge(name.chars().next_back())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_service_would_refuse_are_refused_at_start_up() {
        let longest = "a".repeat(256);
        assert!(SAGEMAKER_PIPELINE.accepts(&longest));
        for bad in ["", "-a", "a-", "a_b", "a/b", &format!("{longest}a")] {
            assert!(!SAGEMAKER_PIPELINE.accepts(bad), "{bad:?}");
        }
        assert!(CODE_PIPELINE.accepts("-My.Pipe@line_1"));
        assert!(!CODE_PIPELINE.accepts(&"a".repeat(101)));
        assert!(RULE.accepts("A.b-c_d"));
        assert!(!RULE.accepts(&"a".repeat(65)));
    }
}
