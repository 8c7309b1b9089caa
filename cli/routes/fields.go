package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// kind is how the value of a flag becomes the value of a field.
type kind int

const (
	text       kind = iota // the value as it is
	list                   // every use of the flag is one item
	pairs                  // every use is NAME=VALUE
	integer                // a number
	boolean                // true or false
	exclusions             // every use is RULE or RULE=TARGET
)

// field is one flag of a route and where its value goes: a path of JSON names.
type field struct {
	flag, path string
	kind       kind
	usage      string
}

// fields are the fields of a route that flags can set. Nested fields that are given together
// make one object. What can't be written so needs mezu.yaml.
func fields() []field {
	return []field{
		{"exact", "exact", text, "match the path `PATH`"},
		{"prefix", "prefix", text, "match every path that starts with `PATH`"},
		{"regexp", "regexp", text, "match paths by the RE2 expression `PATTERN`, anchored at both ends"},
		{"method", "methods", list, "only the method `NAME` (repeatable)"},
		{"header", "headers", pairs, "only with the header `NAME=VALUE` (repeatable)"},
		{"priority", "priority", integer, "try regexp routes in descending order of `N`"},
		{"upstream", "upstream", text, "forward to `ADDR` instead of the Warpgate's --upstream"},
		{"auth", "auth", text, "`MODE` is none, optional or required"},
		{"auth-method", "auth_methods", list, "accept `METHOD`: session, bearer, service_account, basic, webhook:NAME (repeatable)"},
		{"role", "roles", list, "let users with the role `NAME` pass (repeatable: any of them)"},
		{"permission", "permissions", list, "let users with the permission `NAME` pass (repeatable: all of them)"},
		{"any-permission", "any_permissions", list, "let users with the permission `NAME` pass (repeatable: any of them)"},
		{"waf", "waf", text, "`MODE` is off, detect or block"},
		{"waf-paranoia", "waf_settings.paranoia", integer, "look for attacks at the level `N`, 1 to 4"},
		{"waf-threshold", "waf_settings.threshold", integer, "take a request for an attack from the score `N` on"},
		{"waf-exclude", "waf_settings.exclude", exclusions, "leave out `RULE`, or RULE=TARGET such as 942100=ARGS:comment (repeatable)"},
		{"waf-body", "waf_settings.body", text, "look at bodies up to `SIZE`"},
		{"allow-ip", "allow_ips", list, "let clients at `RANGE` pass (repeatable)"},
		{"deny-ip", "deny_ips", list, "refuse clients at `RANGE` (repeatable)"},
		{"max-body", "max_body", text, "refuse request bodies over `SIZE`, such as 16MiB"},
		{"timeout", "timeout", text, "wait `TIME` for the head of a response"},
		{"idle-timeout", "idle_timeout", text, "allow `TIME` of silence, of both sides, inside bodies and streams"},
		{"retries", "retries", integer, "try a replayable request on `N` further Warpgates"},
		{"websocket", "websocket", boolean, "whether upgrades pass: `true` or false"},
		{"encoded-slashes", "encoded_slashes", boolean, "whether %2F and %5C pass: `true` or false"},
		{"host-header", "host_header", text, "send `HOST` to the workload"},
		{"strip-prefix", "strip_prefix", text, "take `PATH` off before forwarding"},
		{"redirect-to", "redirect.to", text, "answer with a redirect to `URL`"},
		{"redirect-status", "redirect.status", integer, "with the status `CODE`: 301, 302, 303, 307 or 308"},
		{"respond-status", "respond.status", integer, "answer with the status `CODE` in the workload's place"},
		{"respond-type", "respond.content_type", text, "with a body of the media type `TYPE`"},
		{"respond-body", "respond.body", text, "which is `TEXT`"},
		{"rate-limit", "rate_limit.requests", integer, "let `N` requests through"},
		{"rate-limit-per", "rate_limit.per", text, "in each `TIME`"},
		{"rate-limit-by", "rate_limit.by", text, "counted by `WHAT`: user, ip or key"},
		{"rate-limit-burst", "rate_limit.burst", integer, "up to `N` of them at once"},
		{"cors-origin", "cors.allow_origins", list, "let pages of `ORIGIN` call (repeatable)"},
		{"cors-method", "cors.allow_methods", list, "with the method `NAME` (repeatable)"},
		{"cors-header", "cors.allow_headers", list, "with the header `NAME` (repeatable)"},
		{"cors-expose", "cors.expose_headers", list, "and see the header `NAME` (repeatable)"},
		{"cors-credentials", "cors.allow_credentials", boolean, "with cookies: `true` or false"},
		{"cors-max-age", "cors.max_age", text, "ask again after `TIME`"},
		{"set-request-header", "request_headers.set", pairs, "set `NAME=VALUE` for the workload (repeatable)"},
		{"remove-request-header", "request_headers.remove", list, "keep the header `NAME` from the workload (repeatable)"},
		{"set-response-header", "response_headers.set", pairs, "set `NAME=VALUE` for the client (repeatable)"},
		{"remove-response-header", "response_headers.remove", list, "keep the header `NAME` from the client (repeatable)"},
	}
}

// group is the heading under which help has a flag.
func group(flag string) string {
	switch flag {
	case "exact", "prefix", "regexp", "method", "header", "priority":
		return "What it matches"
	case "auth", "auth-method", "role", "permission", "any-permission", "allow-ip", "deny-ip", "waf", "waf-paranoia", "waf-threshold", "waf-exclude", "waf-body":
		return "Who gets in"
	case "max-body", "timeout", "idle-timeout", "retries", "rate-limit", "rate-limit-per", "rate-limit-by", "rate-limit-burst":
		return "Limits"
	}
	switch {
	case strings.HasPrefix(flag, "cors-"):
		return "CORS"
	case strings.HasSuffix(flag, "-request-header"), strings.HasSuffix(flag, "-response-header"):
		return "Headers"
	}
	return "Where it leads"
}

func flagsOf() []cli.Flag {
	var out []cli.Flag
	for _, f := range fields() {
		switch f.kind {
		case list, pairs, exclusions:
			out = append(out, &cli.StringSliceFlag{Name: f.flag, Usage: f.usage, Category: group(f.flag)})
		default:
			// Read as text, so that an empty value can remove the field.
			out = append(out, &cli.StringFlag{Name: f.flag, Usage: f.usage, Category: group(f.flag)})
		}
	}
	return out
}

// updateFlags are the flags of update, where an empty value removes the field.
func updateFlags() []cli.Flag {
	return append(flagsOf(), &cli.StringFlag{Name: "rename", Usage: "call the route `NAME`"})
}

// fromFlags makes a route from its name and flags.
func fromFlags(c *cli.Context, name string) (any, error) {
	values, err := read(c)
	if err != nil {
		return nil, err
	}
	if name != "" {
		values["name"] = name
	}
	data, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encoding a route: %w", err)
	}
	var r mezu.Route
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, exit.Usagef("the route: %v", err)
	}
	return r, r.Validate()
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch, err := read(c)
	if err == nil && c.IsSet("rename") {
		patch["name"] = c.String("rename")
		if c.String("rename") == "" {
			patch["name"] = nil
		}
	}
	return patch, err
}

// read gives the fields that flags set. An empty value is null, which removes the field.
func read(c *cli.Context) (map[string]any, error) {
	out := map[string]any{}
	for _, f := range fields() {
		if !c.IsSet(f.flag) {
			continue
		}
		value, err := f.value(c)
		if err == nil {
			err = f.fits(value)
		}
		if err != nil {
			return nil, err
		}
		at := out
		outer, inner, nested := strings.Cut(f.path, ".")
		if nested && value == nil && f.makes() {
			out[outer] = nil
			continue
		}
		if whole, given := out[outer]; nested && given && whole == nil {
			continue // all of it goes
		}
		if nested {
			if at[outer] == nil {
				at[outer] = map[string]any{}
			}
			at = at[outer].(map[string]any)
			outer = inner
		}
		at[outer] = value
	}
	return out, nil
}

// makes reports whether an object goes with this field of it: there is none without.
func (f field) makes() bool {
	switch f.flag {
	case "redirect-to", "respond-status", "rate-limit", "cors-origin":
		return true
	}
	return false
}

func (f field) value(c *cli.Context) (any, error) {
	switch f.kind {
	case list:
		values := c.StringSlice(f.flag)
		if len(values) == 1 && values[0] == "" {
			return nil, nil
		}
		return values, nil
	case pairs:
		return f.pairs(c.StringSlice(f.flag))
	case exclusions:
		return f.exclusions(c.StringSlice(f.flag))
	}
	value := c.String(f.flag)
	switch {
	case value == "":
		return nil, nil
	case f.kind == text:
		return value, nil
	}
	var out any
	err := json.Unmarshal([]byte(value), &out)
	_, isBool := out.(bool)
	_, isNumber := out.(float64)
	if err != nil || f.kind == boolean && !isBool || f.kind == integer && !isNumber {
		return nil, exit.Usagef("--%s is %s, not %q", f.flag, map[kind]string{integer: "a number", boolean: "true or false"}[f.kind], value)
	}
	return json.RawMessage(value), nil
}

// fits refuses a value that the field can't take, by the field's name: of a route as a whole nothing
// would say which of its flags is meant.
func (f field) fits(value any) error {
	if value == nil {
		return nil
	}
	outer, inner, nested := strings.Cut(f.path, ".")
	one := map[string]any{outer: value}
	if nested {
		one[outer] = map[string]any{inner: value}
	}
	data, err := json.Marshal(one)
	if err == nil {
		err = json.Unmarshal(data, new(mezu.Route))
	}
	var wrong *mezu.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return mezu.Below(f.path, wrong)
	}
	return mezu.Invalid(f.path, "%v", err)
}

func (f field) exclusions(values []string) (any, error) {
	if len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	var out []mezu.WAFExclusion
	for _, v := range values {
		x, err := mezu.ParseWAFExclusion(v)
		if err != nil {
			return nil, exit.Usagef("--%s %v", f.flag, err)
		}
		out = append(out, x)
	}
	return out, nil
}

func (f field) pairs(values []string) (any, error) {
	if len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	out := map[string]any{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, exit.Usagef("--%s is NAME=VALUE with each name once, not %q", f.flag, v)
		}
		out[name] = value
	}
	return out, nil
}
