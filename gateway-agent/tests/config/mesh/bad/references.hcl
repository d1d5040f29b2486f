# References that lead nowhere, and things that stand twice.
service { name = "web" port = 80 node = "n2" }
service { name = "api" port = 80 node = "n1" }
service { name = "api" port = 81 node = "n1" }
service { name = "far" port = 80 datacenter = "dc2" }
node "n1" { address = "10.1.0.5" service { name = "db" port = 1 node = "n1" } service { id = "API" name = "api" port = 3 connect { sidecar_service {} } } }
node "n1" { address = "0.0.0.0" }
node "n3" { address = "10.1.0.6" datacenter = "dc2" check { status = "passing" } check { name = "a" service_id = "none" } }
check { node = "n4" id = "x" }
check { node = "n1" service_id = "apo" id = "y" }
check { service_id = "nobody" id = "z" }
check { node = "n1" id = "same" } check { node = "n1" id = "same" }
check { node = "n1" id = "copy" alias_service = "gone" } check { node = "n1" id = "copy2" alias_node = "n9" }
datacenter "dc2" { service { name = "x" port = 1 address = "10.2.0.1" datacenter = "dc1" } }
datacenter "dc2" { primary = true federation_state { service { name = "y" port = 1 address = "10.2.0.2" } } }
datacenter "dc3" { primary = true config_entries {} }
partition "blue" { node "b" { address = "10.1.0.7" partition = "red" } service { name = "z" address = "10.1.0.8" partition = "red" } }
partition "blue" {}
peering "north" { service "db" { instance { node = "x" } } service "db" { sni = "a.test" } }
peering "north" { server_addresses = ["10.1.0.1"] server_name = "a b" }
node { address = "10.1.0.9" }
