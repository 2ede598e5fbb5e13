"""What can be wrong with changes of repositories and tag rules."""

from registry_project.problems import Conflict


class RepositoryTaken(Conflict):
    slug, title = "repository-taken", "There is a repository of this name"
    default_detail = "Restore it under another name, or delete the one that has its name now."


class TagRuleTaken(Conflict):
    slug, title = "tag-rule-taken", "There is such a rule already"
    default_detail = "The team has a rule for these repositories and tags; change that one."
