package mezu

import "strings"

// ReservedField is a header, or a family of them, that no client may set.
type ReservedField struct {
	// Name is in lower case. A family ends in '*', which stands for anything.
	Name string
	// Whose says which program sets the field, or believes it.
	Whose string
}

// ReservedFields are the fields from which a workload, or its framework, learns who the
// client is, where it comes from, by which protocol it came, or which host, method or path is
// meant. No client may set them; the Warpgate writes the true values. Credentials of the
// client (Authorization, Cookie, X-Api-Key, X-Auth-Token) are not reserved, and neither are
// fields that clients of a well-known product send (X-User-Id of Rocket.Chat,
// Impersonate-User of Kubernetes).
func ReservedFields() []ReservedField {
	return append([]ReservedField(nil), reservedFields[:]...)
}

var reservedFields = [...]ReservedField{
	{"x-mezu-*", "the Warpgate's own"},

	{"forwarded*", "RFC 7239; PHP scripts (`Forwarded-For`)"},
	{"x-forwarded*", "reverse proxies; Rack and Rails, Symfony and Laravel, Spring, ASP.NET Core, Django, Express; Envoy (`X-Forwarded-Client-Cert`), Traefik (`X-Forwarded-Tls-Client-Cert`), oauth2-proxy (`X-Forwarded-User`)"},
	{"x-original-*", "ASP.NET Core, IIS, Symfony, ingress-nginx"},
	{"x-real-ip", "nginx; Go frameworks"},
	{"x-real-port", "nginx"},
	{"real-ip", "scripts behind nginx"},
	{"client-ip", "Rails and PHP (`HTTP_CLIENT_IP`)"},
	{"x-client-ip", "Apache, Weblogic; Node (request-ip)"},
	{"x-clientip", "scripts"},
	{"cluster-client-ip", "Zeus and its heirs"},
	{"x-cluster-client-ip", "Rackspace, Riverbed; PHP"},
	{"true-client-ip", "Akamai, Cloudflare"},
	{"x-originating-ip", "Exchange; scripts"},
	{"x-proxyuser-ip", "Google's proxies"},
	{"x-custom-ip-authorization", "scripts"},
	{"x-remote-*", "Kubernetes (`X-Remote-User`, `X-Remote-Group`), Home Assistant; PHP (`X-Remote-Addr`)"},
	{"remote-*", "Authelia and Caddy (`Remote-User`, `Remote-Groups`); Django and PHP (`REMOTE_USER`, `REMOTE_ADDR`)"},
	{"http-client-ip", "Java servers that read names of CGI"},
	{"http-x-forwarded*", "Java servers that read names of CGI"},
	{"http-forwarded*", "Java servers that read names of CGI"},
	{"proxy", "CGI programs, which take it for `HTTP_PROXY` (httpoxy)"},

	{"x-host", "PHP and Node frameworks"},
	{"x-http-host-override", "PHP frameworks"},
	{"x-rewrite-url", "IIS; Symfony, Zend"},
	{"x-waws-unencoded-url", "Azure"},
	{"was-default-hostname", "Azure"},
	{"disguised-host", "Azure"},
	{"script-name", "gunicorn (`SCRIPT_NAME`)"},
	{"x-script-name", "WSGI middleware"},
	{"path-info", "gunicorn (`PATH_INFO`)"},
	{"x-http-method", "frameworks (Microsoft's OData)"},
	{"x-http-method-override", "frameworks (Rack, Symfony, Google)"},
	{"x-method-override", "frameworks"},
	{"x-sendfile-type", "Rack::Sendfile"},
	{"x-accel-mapping", "Rack::Sendfile"},
	{"x-ingress-path", "Home Assistant"},

	{"x-scheme", "ingress-nginx; Rack"},
	{"x-url-scheme", "Rack, Werkzeug"},
	{"front-end-https", "Microsoft's proxies; WordPress"},
	{"x-proxied-https", "Jetty"},
	{"x-arr-*", "IIS, Azure (`X-ARR-ClientCert`, `X-ARR-SSL`)"},

	{"client-cert", "RFC 9440"},
	{"client-cert-chain", "RFC 9440"},
	{"x-client-cert*", "ASP.NET Core (`X-Client-Cert`); nginx by custom"},
	{"x-client-verify", "nginx by custom"},
	{"x-client-dn", "nginx by custom"},
	{"x-client-s-dn", "nginx by custom"},
	{"ssl-*", "ingress-nginx (`ssl-client-verify`), Apache (`SSL_CLIENT_S_DN`), Tomcat's SSLValve, Undertow, Keycloak"},
	{"x-ssl", "HAProxy by custom"},
	{"x-ssl-*", "HAProxy and nginx by custom (`X-SSL-Client-CN`)"},
	{"proxy-auth-cert", "Jetty, GlassFish"},
	{"proxy-ssl-id", "Jetty"},
	{"proxy-ip", "GlassFish"},
	{"proxy-keysize", "GlassFish"},
	{"proxy-client-ip", "Weblogic's plug-in for Apache"},
	{"proxy-remote-user", "Weblogic's plug-in for Apache"},
	{"wl-proxy-*", "Weblogic"},
	{"$ws*", "WebSphere's plug-in (`$WSRU`, `$WSCC`)"},
	{"ms-aspnetcore-*", "ASP.NET Core's module for IIS"},

	{"x-auth-request-*", "oauth2-proxy"},
	{"x-user", "oauth2-proxy by custom"},
	{"x-email", "oauth2-proxy by custom"},
	{"x-auth-user", "frameworks"},
	{"x-auth-username", "Louketo (Keycloak Gatekeeper)"},
	{"x-auth-userid", "Louketo"},
	{"x-auth-subject", "Louketo"},
	{"x-auth-groups", "Louketo"},
	{"x-auth-roles", "Louketo"},
	{"x-auth-audience", "Louketo"},
	{"x-auth-expiresin", "Louketo"},
	{"x-authentik-*", "authentik"},
	{"x-authenticated-*", "Kong (`X-Authenticated-UserId`)"},
	{"x-consumer-*", "Kong"},
	{"x-credential-identifier", "Kong"},
	{"x-credential-username", "Kong"},
	{"x-anonymous-consumer", "Kong"},
	{"x-userinfo", "APISIX, Kong"},
	{"x-jwt-assertion", "WSO2"},
	{"x-webauth-*", "Grafana, Gitea"},
	{"x-vouch-*", "vouch-proxy"},
	{"x-pomerium-*", "Pomerium"},
	{"x-token-subject", "OpenShift, Louketo"},
	{"x-token-user-*", "OpenShift, Louketo"},
	{"x-proxy-user", "OpenSearch"},
	{"x-proxy-roles", "OpenSearch"},
	{"x-sso-user", "Nexus"},
	{"auth-user", "LemonLDAP::NG; IIS (`AUTH_USER`)"},
	{"auth-mail", "LemonLDAP::NG"},
	{"auth-groups", "LemonLDAP::NG"},
	{"auth-type", "IIS, CGI (`AUTH_TYPE`)"},
	{"logon-user", "IIS (`LOGON_USER`)"},
	{"sm-user", "SiteMinder; Spring Security (`SM_USER`)"},
	{"smuser", "SiteMinder"},
	{"oam-remote-user", "Oracle Access Manager"},
	{"iv-user*", "IBM WebSEAL"},
	{"iv-groups", "IBM WebSEAL"},
	{"iv-creds", "IBM WebSEAL"},
	{"cas-user", "mod_auth_cas"},
	{"oidc-*", "mod_auth_openidc (`OIDC_CLAIM_sub`)"},
	{"mellon-*", "mod_auth_mellon"},
	{"shib-*", "Shibboleth"},
	{"ngrok-auth-*", "ngrok"},
	{"tailscale-*", "Tailscale"},
	{"teleport-*", "Teleport"},
	{"x-teleport-*", "Teleport"},
	{"l5d-*", "Linkerd"},
	{"x-envoy-*", "Envoy, Istio"},
	{"x-istio-*", "Istio"},
	{"dapr-caller-*", "Dapr"},

	{"cf-connecting-*", "Cloudflare"},
	{"cf-pseudo-ipv4", "Cloudflare"},
	{"cf-ipcountry", "Cloudflare"},
	{"cf-visitor", "Cloudflare"},
	{"cf-client-cert-*", "Cloudflare"},
	{"cf-access-authenticated-user-email", "Cloudflare Access"},
	{"cf-access-jwt-assertion", "Cloudflare Access"},
	{"fastly-client*", "Fastly (`Fastly-Client-IP`)"},
	{"fastly-ssl", "Fastly"},
	{"fastly-temp-xff", "Fastly"},
	{"akamai-*", "Akamai"},
	{"x-akamai-*", "Akamai"},
	{"x-azure-*", "Azure Front Door (`X-Azure-ClientIP`)"},
	{"x-ms-client-principal*", "Azure App Service"},
	{"x-ms-token-*", "Azure App Service"},
	{"x-ms-forwarded-client-ip", "AD FS"},
	{"x-ms-adfs-*", "AD FS"},
	{"x-appservice-*", "Azure App Service"},
	{"x-goog-authenticated-user-*", "Google's Identity-Aware Proxy"},
	{"x-goog-iap-*", "Google's Identity-Aware Proxy"},
	{"x-appengine-*", "Google App Engine"},
	{"x-apigateway-*", "Google's API gateway; AWS adapters (`X-Apigateway-Event`)"},
	{"x-endpoint-api-userinfo", "Google's Cloud Endpoints"},
	{"x-amzn-oidc-*", "AWS load balancers"},
	{"x-amzn-mtls-*", "AWS load balancers"},
	{"x-amzn-request-context", "AWS Lambda Web Adapter"},
	{"x-amzn-lambda-context", "AWS Lambda Web Adapter"},
	{"cloudfront-*", "AWS CloudFront"},
	{"fly-client-ip", "Fly.io"},
	{"fly-forwarded-*", "Fly.io"},
	{"x-vercel-forwarded-*", "Vercel"},
	{"x-vercel-proxied-*", "Vercel"},
	{"x-vercel-ip-*", "Vercel"},
	{"x-nf-client-connection-ip", "Netlify"},
	{"do-connecting-ip", "DigitalOcean"},
	{"ddg-connecting-ip", "DDoS-Guard"},
	{"eo-client-ip", "Tencent EdgeOne"},
	{"eo-connecting-ip", "Tencent EdgeOne"},
	{"ali-cdn-real-ip", "Alibaba"},
	{"cdn-src-ip", "ChinaCache"},
	{"incap-client-ip", "Imperva"},
	{"x-sucuri-*", "Sucuri"},
}

// maxReservedLength is longer than any name and any family; longer names can only be of
// a family.
const maxReservedLength = 64

// reservedStart is how many characters of a name tell most of those that are not
// reserved.
const reservedStart = 4

// reservedFold brings names together that CGI-like servers don't tell apart: lower case,
// and '-' for '_' and '.'.
var reservedFold = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c + 'a' - 'A'
	}
	t['_'], t['.'] = '-', '-'
	return t
}()

// reservedNames and reservedFamilies hold reservedFields for look-ups; families by their
// first letter.
var reservedNames, reservedFamilies = func() (names map[string]bool, families [256][]string) {
	names = map[string]bool{}
	for _, f := range reservedFields {
		if family, ok := strings.CutSuffix(f.Name, "*"); ok {
			families[family[0]] = append(families[family[0]], family)
		} else {
			names[f.Name] = true
		}
	}
	return names, families
}()

// reservedStarts marks the hashes of the beginnings of reserved names, so that a usual
// header costs one look-up.
var reservedStarts = func() (t [1 << 12]bool) {
	for _, f := range reservedFields {
		start := strings.TrimSuffix(f.Name, "*")
		if len(start) >= reservedStart {
			t[startHash(start[0], start[1], start[2], start[3])] = true
			continue
		}
		for n := byte(0); n < 0x80; n++ { // a short family can go on with any character
			t[startHash(start[0], start[1], start[2], n)] = true
		}
	}
	return t
}()

func startHash(a, b, c, d byte) uint32 {
	return (uint32(a) | uint32(b)<<8 | uint32(c)<<16 | uint32(d)<<24) * 0x9e3779b1 >> 20
}
