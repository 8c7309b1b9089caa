package hint

import (
	"regexp"
	"strings"

	"github.com/mezusphere/mezu"
)

// framework is how one of them refuses a host.
type framework struct {
	name string
	kind Kind
	// statuses are those that it refuses with, text what is in its answer then.
	statuses []int
	text     func(string) bool
	// message is what it does, with the host in the place of HOST; where and setting are its
	// file and what to write there, with the domain above the host in the place of DOMAIN,
	// and in that of PATTERN as a regular expression has it.
	message, where, setting string
}

func has(parts ...string) func(string) bool {
	return func(text string) bool {
		for _, part := range parts {
			if !strings.Contains(text, part) {
				return false
			}
		}
		return true
	}
}

func either(a, b func(string) bool) func(string) bool {
	return func(text string) bool { return a(text) || b(text) }
}

// invalidHost is all that webpack-dev-server says.
const invalidHost = "Invalid Host header"

const refusesName = " refuses the name HOST (its Host check)"

// frameworks are those that are recognised, the more exact before the less exact. Each text
// is in testdata as the framework writes it.
func frameworks() []framework {
	blocked := "Blocked request. This host"
	return []framework{
		{"Angular", HostCheck, []int{403}, has(blocked, "angular.json"), "Angular" + refusesName,
			"angular.json, under serve", `"options": { "allowedHosts": [".DOMAIN"] }`},
		{"Vite", HostCheck, []int{403}, has(blocked), "Vite" + refusesName,
			"vite.config", `server: { allowedHosts: ['.DOMAIN'] }`},
		{"webpack-dev-server", HostCheck, []int{200, 403}, func(text string) bool { return strings.TrimSpace(text) == invalidHost }, "webpack-dev-server" + refusesName,
			"webpack.config.js (Angular: angular.json, under serve)", `devServer: { allowedHosts: ['.DOMAIN'] }`},
		{"Rails", HostCheck, []int{403}, has("Blocked host", "config.hosts"), "Rails" + refusesName,
			"config/environments/development.rb", `config.hosts << ".DOMAIN"`},
		{"Django", HostCheck, []int{400}, either(has("DisallowedHost"), has("Invalid HTTP_HOST header")), "Django" + refusesName,
			"settings.py", `ALLOWED_HOSTS = ['.DOMAIN', 'localhost', '127.0.0.1']`},
		{"Django", OriginCheck, []int{403}, has("Origin checking failed"), "Django refuses forms of https://HOST (its CSRF check)",
			"settings.py", `CSRF_TRUSTED_ORIGINS = ['https://*.DOMAIN']`},
		{"Laravel", HostCheck, []int{400, 404}, has("Bad hostname provided."), "Laravel" + refusesName,
			"bootstrap/app.php, in withMiddleware", `$middleware->trustHosts(at: ['PATTERN$']);`},
		{"Symfony", HostCheck, []int{400, 404, 500}, has("Untrusted Host"), "Symfony" + refusesName,
			"config/packages/framework.yaml (Laravel: trustHosts in bootstrap/app.php)", `framework: { trusted_hosts: ['PATTERN$', '^localhost$'] }`},
	}
}

// recognise finds out what an answer is.
func (w *Watcher) recognise(status int, host, path, text string) (Hint, bool) {
	if status == 400 && w.cfg.Target.Scheme != mezu.UpstreamHTTPS && PlainToTLS(text) {
		return w.speaksTLS(), true
	}
	if status == 403 && strings.TrimSpace(text) == "Unauthorized" && (strings.Contains(path, "/_next/") || strings.Contains(path, "/__nextjs")) {
		return w.next(host), true
	}
	for _, f := range frameworks() {
		for _, s := range f.statuses {
			if s == status && f.text(text) {
				return w.hint(&f, host), true
			}
		}
	}
	return Hint{}, false
}

// PlainToTLS reports whether a server of TLS complains of a request without it: nginx, Go,
// Apache, Tomcat, in this order.
func PlainToTLS(text string) bool {
	for _, said := range []string{"The plain HTTP request was sent to HTTPS port", "Client sent an HTTP request to an HTTPS server.", "speaking plain HTTP to an SSL-enabled server port", "This combination of host and port requires TLS."} {
		if strings.Contains(text, said) {
			return true
		}
	}
	return false
}

func (w *Watcher) next(host string) Hint {
	return w.hint(&framework{name: "Next", kind: OriginCheck, message: "Next refuses its development files to https://HOST (allowedDevOrigins)",
		where: "next.config", setting: `allowedDevOrigins: ['*.DOMAIN']`}, host)
}

// hint says what a framework does, and both ways to have it otherwise.
func (w *Watcher) hint(f *framework, host string) Hint {
	below, domain, _ := strings.Cut(host, ".")
	all, pattern := "*."+domain, `\.`+regexp.QuoteMeta(domain)
	if below == "" || !strings.Contains(domain, ".") && domain != "localhost" {
		domain, all, pattern = host, host, "^"+regexp.QuoteMeta(host) // what is above belongs to others
	}
	setting := strings.NewReplacer("*.DOMAIN", all, "DOMAIN", domain, "PATTERN", pattern).Replace(f.setting)
	h := Hint{Kind: f.kind, Framework: f.name, Message: strings.ReplaceAll(f.message, "HOST", host)}
	if w.cfg.HostHeader != mezu.HostTarget {
		h.Fixes = append(h.Fixes, "mezu tunnel "+typed(w.cfg.Target)+" --host-header target")
	}
	h.Fixes = append(h.Fixes, "in "+f.where+":\n"+setting)
	return h
}
