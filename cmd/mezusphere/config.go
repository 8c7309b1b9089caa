package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/namedfile"
	"github.com/mezusphere/mezu/tunnel"
)

// config is every setting of every service. The YAML names are the keys of the file. A
// flag has the same name with dashes, an environment variable in upper case after
// MEZUSPHERE_.
type config struct {
	State     string `yaml:"state"`
	LogLevel  string `yaml:"log_level"`
	LogFormat string `yaml:"log_format"`
	AdminAddr string `yaml:"admin_addr"`

	Archive    string   `yaml:"archive"`
	APIAddr    string   `yaml:"api_addr"`
	CallRate   decimal  `yaml:"call_rate"`
	APIHosts   []string `yaml:"api_hosts"`
	APITLSCert string   `yaml:"api_tls_cert"`
	APITLSKey  string   `yaml:"api_tls_key"`
	Domain     string   `yaml:"domain"`
	PublicPort decimal  `yaml:"public_port"`
	SealKey    string   `yaml:"seal_key_file"`

	Store         string `yaml:"store"`
	StoreCAFile   string `yaml:"store_ca_file"`
	StoreCertFile string `yaml:"store_cert_file"`
	StoreKeyFile  string `yaml:"store_key_file"`
	Founders      string `yaml:"founders"`
	TeamSignup    string `yaml:"team_signup"`
	DeviceLogin   string `yaml:"device_login"`

	SMTPAddress      string `yaml:"smtp_address"`
	SMTPTLS          string `yaml:"smtp_tls"`
	SMTPUsername     string `yaml:"smtp_username"`
	SMTPPasswordFile string `yaml:"smtp_password_file"`
	SMTPFrom         string `yaml:"smtp_from"`
	SMTPCAFile       string `yaml:"smtp_ca_file"`

	Quotas []string `yaml:"quotas"`

	Control               string   `yaml:"control"`
	CAFile                string   `yaml:"ca_file"`
	JoinTokenFile         string   `yaml:"join_token_file"`
	Name                  string   `yaml:"name"`
	HTTPSAddr             string   `yaml:"https_addr"`
	TunnelAddr            string   `yaml:"tunnel_addr"`
	PublicAddress         string   `yaml:"public_address"`
	TunnelAddress         string   `yaml:"tunnel_address"`
	MaxConns              decimal  `yaml:"max_conns"`
	ClientShare           decimal  `yaml:"client_share"`
	EnvironmentShare      decimal  `yaml:"environment_share"`
	TLSCert               string   `yaml:"tls_cert"`
	AddressConnections    decimal  `yaml:"address_connections"`
	AddressHandshakes     decimal  `yaml:"address_handshakes"`
	AddressHandshakeBurst decimal  `yaml:"address_handshake_burst"`
	AddressRequests       decimal  `yaml:"address_requests"`
	AddressRequestBurst   decimal  `yaml:"address_request_burst"`
	UnlimitedAddresses    []string `yaml:"unlimited_addresses"`
	TLSKey                string   `yaml:"tls_key"`
	EdgeAdminAddr         string   `yaml:"edge_admin_addr"`
}

// Roles of the program.
const (
	roleControl = "control"
	roleEdge    = "edge"
	roleAll     = "all"
	// roleRestore and roleReset have the settings that name the store.
	roleRestore = "restore"
	roleReset   = "operator-reset"
)

// Whether something is there.
const (
	yes = "true"
	no  = "false"
)

// Who may create organizations.
const (
	foundersOperators = "operators"
	foundersMembers   = "members"
)

// Where the admin listeners are by default: beside the API's 7443, on ports that nobody is known to
// use. 9090 and 9091 are those of Prometheus and its Pushgateway, which often run on the machine.
const (
	defaultAdmin     = "127.0.0.1:7448"
	defaultEdgeAdmin = "127.0.0.1:7449"
)

// Defaults that hold for every role.
func defaults() *config {
	return &config{
		LogLevel: "info", LogFormat: "text", AdminAddr: defaultAdmin, EdgeAdminAddr: defaultEdgeAdmin,
		APIAddr: ":7443", HTTPSAddr: ":443", PublicPort: 443, Founders: foundersOperators, TeamSignup: string(mezu.SignupInvite), DeviceLogin: yes, Name: "edge",
	}
}

// key is one setting.
type key struct {
	name  string // as in the file
	roles string // those that have it as a flag
	usage string // its first word names the value
	set   func(string) error
}

// flag is the key as a flag, without dashes.
func (k key) flag() string { return strings.ReplaceAll(k.name, "_", "-") }

// group is the heading under which help has the key.
func (k key) group() string {
	switch {
	case strings.HasPrefix(k.name, "smtp_"):
		return "Mail"
	case strings.HasPrefix(k.name, "store"), k.name == "archive", k.name == "seal_key_file":
		return "What is kept"
	case slices.Contains([]string{"founders", "team_signup", "device_login", "quotas"}, k.name):
		return "Who may do what"
	case slices.Contains([]string{"api_addr", "call_rate", "api_hosts", "api_tls_cert", "api_tls_key", "domain", "public_port"}, k.name):
		return "The API and the domain"
	case !strings.Contains(k.roles, roleControl):
		return "The edge"
	}
	return "Flags"
}

// variable is the key as an environment variable.
func (k key) variable() string { return "MEZUSPHERE_" + strings.ToUpper(k.name) }

// keys are all settings, in the order of help.
func (c *config) keys() []key {
	return []key{
		{"state", "control edge all restore operator-reset", "DIR keep everything in DIR", text(&c.State)},
		{"admin_addr", "control edge all", "ADDR serve /livez, /readyz and /metrics on ADDR; empty for nowhere", text(&c.AdminAddr)},
		{"log_level", "control edge all restore operator-reset", "LEVEL debug, info, warn or error", text(&c.LogLevel)},
		{"log_format", "control edge all restore operator-reset", "FORMAT text or json", text(&c.LogFormat)},

		{"store", "control all restore operator-reset", "badger:DIR|etcd:URL,… keep everything in DIR, or in the etcd cluster with these members; else below --state", text(&c.Store)},
		{"store_ca_file", "control all restore operator-reset", "FILE the CA of etcd's members", text(&c.StoreCAFile)},
		{"store_cert_file", "control all restore operator-reset", "FILE the certificate to show them", text(&c.StoreCertFile)},
		{"store_key_file", "control all restore operator-reset", "FILE its key", text(&c.StoreKeyFile)},
		{"archive", "control all", "dir:PATH move audit records older than a week to PATH; else below --state", text(&c.Archive)},
		{"api_addr", "control all", "ADDR serve the REST API on ADDR", text(&c.APIAddr)},
		{"call_rate", "control all", "N calls a second that one caller of the API may make; 0 for 100", number(&c.CallRate)},
		{"api_hosts", "control all", "NAME,… names and addresses by which clients know the API", list(&c.APIHosts)},
		{"api_tls_cert", "control all", "FILE the API's certificate; else the internal CA issues one", text(&c.APITLSCert)},
		{"api_tls_key", "control all", "FILE its key", text(&c.APITLSKey)},
		{"domain", "control all", "NAME the edge domain, under which endpoints are labels", text(&c.Domain)},
		{"public_port", "control all", "PORT the edges' port in addresses", number(&c.PublicPort)},
		{"seal_key_file", "control all restore operator-reset", "FILE the key under which the store is sealed, or exec:COMMAND for a key service; else seal.key in the state directory", text(&c.SealKey)},
		{"founders", "control all", "WHO may create organizations: operators or members", text(&c.Founders)},
		{"team_signup", "control all", "WHO may get an account at the control plane's address: invite for those who are invited, or open", text(&c.TeamSignup)},
		{"device_login", "control all", "true|false whether machines without a browser are logged in by a code that a person types elsewhere", text(&c.DeviceLogin)},
		{"quotas", "control all", "NAME=N,… how many projects of an organization, environments of a project, and so on, there may be (docs/operations.md)", list(&c.Quotas)},
		{"smtp_address", "control all", "HOST:PORT send mail by the server at HOST:PORT; without one nobody can sign up or reset a password", text(&c.SMTPAddress)},
		{"smtp_tls", "control all", "starttls|tls encrypt after STARTTLS or at once; else at once on port 465", text(&c.SMTPTLS)},
		{"smtp_username", "control all", "NAME the account at the mail server", text(&c.SMTPUsername)},
		{"smtp_password_file", "control all", "FILE its password", text(&c.SMTPPasswordFile)},
		{"smtp_from", "control all", "ADDRESS the sender of all mail, or \"NAME <ADDRESS>\"", text(&c.SMTPFrom)},
		{"smtp_ca_file", "control all", "FILE trust the certificates in FILE for the mail server, instead of the system's", text(&c.SMTPCAFile)},

		{"control", "edge", "URL,… the control planes of the installation, or one", text(&c.Control)},
		{"ca_file", "edge all", "FILE trust the certificates in FILE for the control plane (MEZU_CA_FILE)", text(&c.CAFile)},
		{"join_token_file", "edge", "FILE the token of the first start; mezusphere join-token create makes one", text(&c.JoinTokenFile)},
		{"name", "edge all", "NAME of this edge, unique in the installation", text(&c.Name)},
		{"https_addr", "edge all", "ADDR serve public HTTPS, and Warpgates, on ADDR", text(&c.HTTPSAddr)},
		{"tunnel_addr", "edge all", "ADDR serve Warpgates on ADDR instead", text(&c.TunnelAddr)},
		{"public_address", "edge all", "HOST:PORT at which clients reach this edge; else the listener's own, with --domain or this machine's address for all", text(&c.PublicAddress)},
		{"tunnel_address", "edge all", "HOST:PORT at which Warpgates reach this edge; else as --public-address", text(&c.TunnelAddress)},
		{"max_conns", "edge all", "N data connections of one Warpgate at most; 0 for what memory and descriptors carry", number(&c.MaxConns)},
		{"client_share", "edge all", "N of a hundred of them one client address may hold while others wait; 0 for 50, 100 for all", number(&c.ClientShare)},
		{"environment_share", "edge all", "N of a hundred connections one environment may hold while they are scarce; 0 for 25, 100 for all", number(&c.EnvironmentShare)},
		{"address_connections", "edge all", "N connections of one address, eight times as many of a /48 of IPv6; 0 for 512", number(&c.AddressConnections)},
		{"address_handshakes", "edge all", "N new connections a second of one address; 0 for 50", number(&c.AddressHandshakes)},
		{"address_handshake_burst", "edge all", "N of them at once; 0 for four times address_handshakes", number(&c.AddressHandshakeBurst)},
		{"address_requests", "edge all", "N requests a second of one address; 0 for 2000", number(&c.AddressRequests)},
		{"address_request_burst", "edge all", "N of them at once; 0 for twice address_requests", number(&c.AddressRequestBurst)},
		{"unlimited_addresses", "edge all", "RANGE,… addresses and ranges that these limits are not for, such as a load balancer's; else those of this machine", list(&c.UnlimitedAddresses)},
		{"tls_cert", "edge all", "FILE a certificate for the edge domain; else the internal CA issues one an endpoint", text(&c.TLSCert)},
		{"tls_key", "edge all", "FILE its key", text(&c.TLSKey)},
		{"edge_admin_addr", "all", "ADDR the same as --admin-addr, for the edge", text(&c.EdgeAdminAddr)},
	}
}

// smtp is how mail is sent.
func (c *config) smtp() control.SMTP {
	return control.SMTP{Address: c.SMTPAddress, TLS: c.SMTPTLS, Username: c.SMTPUsername, PasswordFile: c.SMTPPasswordFile, From: c.SMTPFrom, CAFile: c.SMTPCAFile}
}

func text(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func list(to *[]string) func(string) error {
	return func(v string) error {
		*to = nil
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*to = append(*to, part)
			}
		}
		return nil
	}
}

func number(to *decimal) func(string) error {
	return func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("%q is not a number", v)
		}
		*to = decimal(n)
		return nil
	}
}

// decimal is a number in decimal digits. YAML has other notations: to some readers 0443 is
// 291 and 0x1bb is 443.
type decimal int

// UnmarshalYAML reads the number as it is written in the file.
func (d *decimal) UnmarshalYAML(node ast.Node) error {
	at := node.GetToken()
	n, err := strconv.Atoi(at.Value)
	if err != nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is not a number in decimal", at.Value), Token: at}
	}
	if strconv.Itoa(n) != at.Value {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is octal to some readers and decimal to others: write %d if that is meant", at.Value, n), Token: at}
	}
	*d = decimal(n)
	return nil
}

// given is one flag as it was typed.
type given struct{ flag, value string }

// load makes the configuration of a role: defaults, then the file, then the
// environment, then the flags.
func load(ctx context.Context, role, file string, flags []given, getenv func(string) string) (*config, error) {
	c := defaults()
	if file = cmp.Or(file, getenv("MEZUSPHERE_CONFIG")); file != "" {
		if err := c.readFile(ctx, file); err != nil {
			return nil, err
		}
	}
	if ca := getenv("MEZU_CA_FILE"); ca != "" {
		c.CAFile = ca
	}
	for _, k := range c.keys() {
		if v := getenv(k.variable()); v != "" {
			if err := k.set(v); err != nil {
				return nil, exit.Usagef("%s: %v", k.variable(), err)
			}
		}
	}
	for _, g := range flags {
		i := slices.IndexFunc(c.keys(), func(k key) bool { return k.flag() == g.flag })
		if err := c.keys()[i].set(g.value); err != nil {
			return nil, exit.Usagef("--%s: %v", g.flag, err)
		}
	}
	return c, c.validate(role)
}

// maxConfig bounds the file: a real one has some twenty lines, and the parser's time grows
// with the square of the depth.
const maxConfig = 32 << 10

// readFile reads the YAML file. An unknown key, a key that comes twice, or a value of the
// wrong type is an error that names its line.
func (c *config) readFile(ctx context.Context, path string) error {
	data, err := namedfile.ReadPipe(ctx, path, maxConfig+1)
	if err != nil {
		return namedfile.Unread("config", "name a YAML file that this user may read, or leave --config and MEZUSPHERE_CONFIG out", err)
	}
	if len(data) > maxConfig {
		return mezu.Invalid("", "%s has more than %d bytes", path, maxConfig)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors write it
	read := *c
	if err := yaml.UnmarshalWithOptions(data, &read, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return mezu.Invalid("", "%s: %s", path, yaml.FormatError(err, false, true))
	}
	// The parser sets everything to zero if the file has no key.
	if !reflect.ValueOf(read).IsZero() {
		*c = read
	}
	return nil
}

// validate checks what a role needs, and the form of everything else.
func (c *config) validate(role string) error {
	for _, a := range []struct{ key, value string }{
		{"admin_addr", c.AdminAddr}, {"edge_admin_addr", c.EdgeAdminAddr}, {"api_addr", c.APIAddr}, {"https_addr", c.HTTPSAddr},
		{"tunnel_addr", c.TunnelAddr}, {"public_address", c.PublicAddress}, {"tunnel_address", c.TunnelAddress},
	} {
		if a.value != "" && !isHostPort(a.value) {
			return mezu.Invalid(a.key, "is host:port, not %q", a.value)
		}
	}
	if c.Founders != foundersOperators && c.Founders != foundersMembers {
		return mezu.Invalid("founders", "is operators or members, not %q", c.Founders)
	}
	if signup := mezu.SignupMode(c.TeamSignup); signup != mezu.SignupInvite && signup != mezu.SignupOpen {
		return mezu.Invalid("team_signup", "is invite or open, not %q", c.TeamSignup)
	}
	if c.DeviceLogin != yes && c.DeviceLogin != no {
		return mezu.Invalid("device_login", "is true or false, not %q", c.DeviceLogin)
	}
	if _, err := control.ParseQuotas(c.Quotas); err != nil {
		return err
	}
	if c.PublicPort < 1 || c.PublicPort > 65535 {
		return mezu.Invalid("public_port", "is between 1 and 65535, not %d", c.PublicPort)
	}
	if c.CallRate < 0 || c.CallRate > maxCallRate {
		return mezu.Invalid("call_rate", "is between 1 and %d, or 0 for the default, not %d", maxCallRate, c.CallRate)
	}
	if c.MaxConns < 0 || c.MaxConns > maxMaxConns {
		return mezu.Invalid("max_conns", "is between 1 and %d, or 0 for the default, not %d", maxMaxConns, c.MaxConns)
	}
	if c.EnvironmentShare < 0 || c.EnvironmentShare > 100 {
		return mezu.Invalid("environment_share", "is between 1 and 100, or 0 for the default, not %d", c.EnvironmentShare)
	}
	if c.ClientShare < 0 || c.ClientShare > 100 {
		return mezu.Invalid("client_share", "is between 1 and 100, or 0 for the default, not %d", c.ClientShare)
	}
	if _, err := c.allowances(); err != nil {
		return err
	}
	if err := mezu.ValidateName("name", c.Name); err != nil {
		return err
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return mezu.Invalid("tls_cert", "a certificate and its key are given together")
	}
	if (c.APITLSCert == "") != (c.APITLSKey == "") {
		return mezu.Invalid("api_tls_cert", "a certificate and its key are given together")
	}
	if c.Archive != "" {
		if _, err := archive.ParseLocation(c.Archive); err != nil {
			return err
		}
	}
	if err := c.validateStore(); err != nil {
		return err
	}
	if err := c.smtp().Validate(); err != nil {
		return err
	}
	return c.validateRole(role)
}

// allowances are what one address may take of an edge.
func (c *config) allowances() (a shed.Allowances, err error) {
	a = shed.Allowances{
		Connections: int(c.AddressConnections), Handshakes: int(c.AddressHandshakes), HandshakeBurst: int(c.AddressHandshakeBurst),
		Requests: int(c.AddressRequests), RequestBurst: int(c.AddressRequestBurst),
	}
	for i, text := range c.UnlimitedAddresses {
		r, err := mezu.ParseIPRange(text)
		if err != nil {
			return a, mezu.Invalid(fmt.Sprintf("unlimited_addresses[%d]", i), "%s", err.(*mezu.Error).Detail)
		}
		a.Unlimited = append(a.Unlimited, r)
	}
	return a, a.Validate()
}

// maxCallRate is as high as no limit.
const maxCallRate = 1_000_000

// maxMaxConns is the highest cap of data connections of one Warpgate: the tunnel's.
const maxMaxConns = tunnel.MaxConns

// validateRole checks what only one role needs; an empty role needs nothing.
func (c *config) validateRole(role string) error {
	if role == "" {
		return nil
	}
	// A reset needs of a state directory what can be named otherwise, unless the store is in it.
	if c.State == "" && (role != roleReset || c.StoreCAFile == "" || c.SealKey == "") {
		return missing("state", "--state DIR")
	}
	if role == roleRestore || role == roleReset {
		return nil
	}
	if role == roleEdge {
		if c.Control == "" {
			return missing("control", "--control URL")
		}
		return nil
	}
	if c.Domain == "" {
		return missing("domain", "--domain NAME, such as example.com; localhost for a try")
	}
	if role == roleAll && c.APITLSCert != "" && len(c.APIHosts) == 0 {
		return missing("api_hosts", "--api-hosts NAME: the name in the certificate of api_tls_cert")
	}
	return nil
}

func missing(key, hint string) error {
	return &mezu.Error{Code: mezu.CodeInvalid, Field: key, Detail: "is missing", Hint: hint}
}

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
