package export

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/visible"
)

// expectAbove is the size of a body for which curl asks with "Expect: 100-continue" whether it is
// welcome.
const expectAbove = 1 << 20

// Curl is a command for POSIX shells that sends the request of an exchange to the public address
// of its tunnel, scheme://host[:port]: the same method and target, the same fields in the same
// order but those that only the edge writes, and the same body. Each mask becomes a variable,
// without which the shell does not begin. It ends with a newline.
func Curl(x *show.Complete) string {
	c := command{masked: !x.Unmasked, used: map[string]bool{}}
	c.request(x)
	c.body(x)
	if x.CAFile != "" {
		// Its edges may have public certificates all the same.
		c.notes = append(c.notes, "curl has to know the CA of the installation: mezu trust, or export CURL_CA_BUNDLE="+c.quoted(visible.Text(x.CAFile), ""))
	}
	return c.text(x)
}

// command is a command as it comes together.
type command struct {
	masked    bool
	variables []string
	used      map[string]bool
	notes     []string
	words     []string // of curl, with their options
	feed      string   // what is piped into it, or ""
}

// text puts the parts together.
func (c *command) text(x *show.Complete) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# request %s of %s\n", visible.Text(x.ID), visible.Text(x.Tunnel))
	for _, n := range c.notes {
		b.WriteString("# " + n + "\n")
	}
	if len(c.variables) > 0 {
		b.WriteString("# secrets are left out: set these, or use --unmask\n:")
		for _, v := range c.variables {
			b.WriteString(" " + variable(v))
		}
		b.WriteString(" &&\n")
	}
	if c.feed != "" {
		b.WriteString(c.feed + " |\n")
	}
	b.WriteString("curl " + strings.Join(c.words, " \\\n  ") + "\n")
	return b.String()
}

// request adds method, address and fields.
func (c *command) request(x *show.Complete) {
	method, target := requestLine(x)
	hasBody := len(x.RequestBody.Data) > 0 || isZero(x.Request.Fields)
	first := "--path-as-is -g"
	switch {
	case method == "HEAD" && !hasBody:
		first += " --head"
	case method == "GET" && !hasBody, method == "POST" && hasBody:
	default:
		first += " -X " + c.quoted(method, "METHOD")
	}
	if isPlain(target) {
		first += " " + c.quoted(origin(x)+target, "QUERY")
	} else {
		first += " --request-target " + c.quoted(target, "QUERY") + " " + c.quoted(origin(x)+"/", "QUERY")
	}
	c.words = append(c.words, first)

	// What curl sends by itself is taken out where the request had none.
	own := []string{"User-Agent", "Accept"}
	if hasBody {
		own = append(own, "Content-Type")
	}
	if len(x.RequestBody.Data) >= expectAbove {
		own = append(own, "Expect")
	}
	for _, name := range own {
		if !slices.ContainsFunc(x.Request.Fields, func(f mezu.ExchangeField) bool { return strings.EqualFold(f.Name, name) }) {
			c.words = append(c.words, "-H '"+name+":'")
		}
	}
	for _, f := range x.Request.Fields {
		if !isCarried(x, f.Name) {
			continue
		}
		text := f.Name + ": " + f.Value
		if f.Value == "" {
			text = f.Name + ";" // which is how curl sends an empty one
		}
		c.words = append(c.words, "-H "+c.quoted(text, f.Name))
	}
	if len(x.Request.Trailers) > 0 {
		c.notes = append(c.notes, "its trailers are left out: curl sends none")
	}
	if x.Kind == mezu.ExchangeWebSocket || x.Kind == mezu.ExchangeStream {
		c.notes = append(c.notes, "it became another protocol, which curl does not go on with")
	}
}

// body adds the body.
func (c *command) body(x *show.Complete) {
	body := &x.RequestBody
	if body.Size > 0 && x.Request.Body != nil && x.Request.Body.Kept < body.Size {
		c.notes = append(c.notes, fmt.Sprintf("its body is cut: the first %d bytes of %d were kept", x.Request.Body.Kept, body.Size))
	}
	if x.Undone {
		c.notes = append(c.notes, "its body is sent without the content encoding that it had, because of what is masked in it")
	}
	switch {
	case len(body.Data) > 0:
		c.feed = c.printf(string(body.Data), "BODY")
		c.words = append(c.words, "--data-binary @-")
	case isZero(x.Request.Fields):
		c.words = append(c.words, "--data-binary ''")
	}
}

// isZero reports whether a request says that its body is empty, which one without a body
// doesn't say.
func isZero(fields []mezu.ExchangeField) bool {
	return slices.ContainsFunc(fields, func(f mezu.ExchangeField) bool { return strings.EqualFold(f.Name, "Content-Length") && f.Value == "0" })
}

// isCarried reports whether a field is written into the command. Host and length are curl's,
// those of the connection come anew, and reserved ones are the edge's.
func isCarried(x *show.Complete, name string) bool {
	lower := strings.ToLower(name)
	switch lower {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "proxy-connection":
		return false
	case "content-encoding":
		return !x.Undone
	}
	return !mezu.ReservedHeader(name) && !strings.EqualFold(name, mezu.HeaderRequestID) && mezu.ValidHeaderName(name)
}

// requestLine is method and target as they came.
func requestLine(x *show.Complete) (method, target string) {
	method, rest, ok := strings.Cut(x.Request.Line, " ")
	end := strings.LastIndexByte(rest, ' ')
	if !ok || end < 0 {
		return x.Method, x.Path + x.Query
	}
	return method, rest[:end]
}

// origin is the tunnel's address with the host that was asked for.
func origin(x *show.Complete) string {
	u, err := url.Parse(x.Address)
	if err != nil || u.Host == "" {
		return "https://" + x.Host
	}
	host := x.Host
	if host == "" {
		return u.Scheme + "://" + u.Host
	}
	if asked := (&url.URL{Host: host}); u.Port() != "" && asked.Port() == "" {
		host += ":" + u.Port()
	}
	return u.Scheme + "://" + host
}

// isPlain reports whether curl sends a target as a part of an address as it is.
func isPlain(target string) bool {
	if !strings.HasPrefix(target, "/") {
		return false
	}
	text := strings.ReplaceAll(target, mezu.Mask, "")
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`#\"<>^{|}`+"`", r) })
}

// quoted is a word of the shell. Masks in it are variables, whose names come of what stands
// before them, or of name.
func (c *command) quoted(text, name string) string {
	var b strings.Builder
	for i, part := range c.parts(text) {
		if i > 0 {
			b.WriteString(variable(c.variable(b.String(), name)))
		}
		switch {
		case part == "":
		case strings.ContainsFunc(part, visible.Unsafe):
			b.WriteString(`"$(printf '` + format(part) + `')"`)
		default:
			b.WriteString("'" + strings.ReplaceAll(part, "'", `'\''`) + "'")
		}
	}
	if b.Len() == 0 {
		return "''"
	}
	return b.String()
}

// printf is a command that writes a text, byte for byte.
func (c *command) printf(text, name string) string {
	var b, variables strings.Builder
	b.WriteString("printf '")
	for i, part := range c.parts(text) {
		if i > 0 {
			variables.WriteString(" " + variable(c.variable(b.String(), name)))
			b.WriteString("%s")
		}
		b.WriteString(format(part))
	}
	return b.String() + "'" + variables.String()
}

// parts are what is between masks.
func (c *command) parts(text string) []string {
	if !c.masked {
		return []string{text}
	}
	return strings.Split(text, mezu.Mask)
}

// format is a part of a single-quoted format of printf(1) that gives a text. A newline stays one,
// so that what has lines can be read.
func format(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '%':
			b.WriteString("%%")
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\'':
			b.WriteString(`'\''`)
		case r == '-' && i == 0, visible.Unsafe(r): // one that begins with a dash is an option
			for _, c := range []byte(text[i : i+n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}

func variable(name string) string { return `"${` + name + `:?}"` }

// variable names a variable for a mask behind some text. Each has its own.
func (c *command) variable(before, fallback string) string {
	name := nameOf(before)
	if name == "" {
		name = upper(fallback)
	}
	if name == "" || name[0] >= '0' && name[0] <= '9' || isShells(name) {
		name = "SECRET_" + name
	}
	one := name
	for i := 2; c.used[one]; i++ {
		one = name + "_" + strconv.Itoa(i)
	}
	c.used[one] = true
	c.variables = append(c.variables, one)
	return one
}

// maxName bounds the name of a variable.
const maxName = 40

// nameOf is the name of the parameter, cookie or member whose value begins behind a text, or "".
func nameOf(before string) string {
	before = before[max(0, len(before)-2*maxName):]
	before = strings.TrimRight(before, ` "'`)
	if before == "" || before[len(before)-1] != '=' && before[len(before)-1] != ':' {
		return ""
	}
	before = strings.TrimRight(before[:len(before)-1], ` "'`)
	start := strings.LastIndexFunc(before, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	})
	return upper(before[start+1:])
}

// upper makes the name of a variable of that of a field.
func upper(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	return strings.Trim(name[:min(len(name), maxName)], "_")
}

// isShells reports whether a shell, or curl, does something with a variable of this name.
func isShells(name string) bool {
	return slices.Contains([]string{"CDPATH", "ENV", "HOME", "IFS", "LANG", "MAIL", "OPTARG", "OPTIND", "PATH", "PPID", "PWD", "SHELL", "TERM", "USER"}, name) || strings.HasSuffix(name, "_PROXY")
}
