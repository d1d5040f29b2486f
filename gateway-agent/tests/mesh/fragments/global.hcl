# A mode for all proxies. Read with web.hcl.
#
# explain --service web --upstream orders: local, level 6 (proxy-defaults, its line 11);
#   through the mesh gateways of dc1: 10.10.0.2:8443 and [fd00:10::3]:8443.
# explain --service web --upstream search: local, level 6, which does not count in dc1:
#   straight to 10.10.1.1:21009.

Kind = "proxy-defaults"
Name = "global"
MeshGateway {
  Mode = "local"
}
