config_entries {
  bootstrap {
    Kind = "service-intentions"
    Name = "*"
    Sources = [
      { Name = "a" },
      { Name = "b", Action = "alow" },
      { Name = "c", Action = "deny", Permissions = [{ Action = "allow", HTTP = { PathExact = "/" } }] },
      { Name = "d", Permissions = [{ HTTP = { PathExact = "/", PathRegex = "(" } }] },
      { Name = "a", Action = "deny", Type = "external" },
    ]
  }
  bootstrap {
    Kind = "service-intentions"
    Name = "web"
    Sources {
      Name = "a"
      Permissions = [
        { Action = "deny", HTTP = { Header = [{ Name = "x" }, { Name = "y", Exact = "1", Present = true }], Methods = ["FETCH"] } },
        { Action = "deny", HTTP = { PathRegex = "(" } },
      ]
    }
    Sources { Action = "allow" Peers = "north" }
    JWT { Providers = [] }
  }
  bootstrap { Kind = "service-intentions" Name = "none" }
}
