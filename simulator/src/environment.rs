//! The environment variables of a router, as a function that returns the value of a variable. `Config::from_lookup` uses it.

use std::collections::BTreeMap;

use crate::Project;

impl Project {
    /// A function that returns the value of each variable of [`Project::environment`]. `changed` replaces variables and adds others.
    /// An empty value stays empty.
    pub fn lookup(&self, changed: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
        let environment = self.environment();
        let variables =
            environment.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables: BTreeMap<String, String> = variables.collect();
        move |name| variables.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_finds_the_projects_variables_and_the_changed_ones() {
        let lookup = Project::nyctaxi().lookup(&[("BUILD_STAGE_NAME", ""), ("DRIFT_COOLDOWN", "1d")]);
        assert_eq!(lookup("SAGEMAKER_PIPELINE_NAME").as_deref(), Some("nyctaxi-pipeline"));
        assert_eq!(lookup("BUILD_STAGE_NAME").as_deref(), Some(""));
        assert_eq!(lookup("DRIFT_COOLDOWN").as_deref(), Some("1d"));
        assert_eq!(lookup("METRICS_NAMESPACE"), None);
    }
}
