# What a service may not say.
service { port = 80 }
service { name = "*" port = 80 address = "10.1.0.2:80" }
service { name = "a" port = 70000 address = "0.0.0.0" }
service { name = "b" kind = "mesh-gatway" port = 1 colour = "red" }
service { name = "c" port = 1 ports = [{ name = "x", port = 2, default = true }, { port = 3, default = true }, { name = "y" }] }
service { name = "d" meta { consul-x = "1" "a.b" = "2" } }
service { name = "e" weights { passing = -1 warnings = 2 } status = "ill" maintenance = "perhaps" }
service { name = "f" tagged_addresses { lan { port = 1 } wan = "1.2.3.4" x { address = "a b" } } }
service { name = "g" proxy { mesh_gateway { mode = "local" } } }
service { name = "h" connect { native = true sidecar_service {} sidecar {} } }
service { name = "i" check { service_id = "j" status = "fine" interval = "1s" intervall = "2s" } }
