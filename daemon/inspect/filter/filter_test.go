package filter_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/filter"
	"github.com/mezusphere/mezu/local"
)

// subject is an exchange.
type subject struct {
	row    mezu.Exchange
	header map[string][]string // in lower case
	texts  []string
	asked  int // for texts
}

func (s *subject) Exchange() *mezu.Exchange { return &s.row }

func (s *subject) Header(name string, yield func(string) bool) {
	for _, v := range s.header[strings.ToLower(name)] {
		if !yield(v) {
			return
		}
	}
}

func (s *subject) Texts(yield func([]byte) bool) {
	s.asked++
	for _, t := range s.texts {
		if !yield([]byte(t)) {
			return
		}
	}
}

var now = time.Date(2026, 11, 27, 14, 2, 31, 0, time.UTC)

// hook is a request for a webhook that failed, watch a call of gRPC that is open.
func hook() *subject {
	return &subject{
		row: mezu.Exchange{ID: "7f3a", Tunnel: "shop/dev-ada", TunnelID: "tun_1", Kind: mezu.ExchangeHTTP, Method: "POST", Host: "shop-dev-ada-acme.edge.example.com",
			Path: "/hooks/stripe", Query: "?x=1&y=Two", Client: "203.0.113.9", Status: 500, Code: mezu.CodeWorkloadReset, Cause: mezu.CauseWorkloadReset,
			StartedAt: now.Add(-4 * time.Minute), DurationMS: 512.5, BytesIn: 1400, BytesOut: 1200, Route: "api", User: "ada@dev.test", Edge: "fra-1", Pinned: true},
		header: map[string][]string{"content-type": {"application/json; charset=utf-8"}, "x-request-id": {"abc"}, "accept": {"a, b"}},
		texts:  []string{`{"type":"Charge.REFUNDED","note":"für Äpfel"}`, "ok"},
	}
}

func watch() *subject {
	status := 13
	return &subject{row: mezu.Exchange{Tunnel: "shop/dev-ada-docs", Kind: mezu.ExchangeGRPC, Method: "POST", Path: "/shop.v1.Orders/Watch", Client: "[2001:db8::1]:4040",
		Status: 200, GRPCStatus: &status, StartedAt: now.Add(-time.Hour), DurationMS: 9, Open: true, ReplayOf: "7f3a", User: "ci"}}
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]string{ // h for hook, w for watch
		"":                             "hw",
		"  ":                           "hw",
		"method:POST":                  "hw",
		"method:get,post":              "hw",
		"-method:POST":                 "",
		"method:P*T":                   "hw",
		"method:OST":                   "",
		"status:500":                   "h",
		"status:=500":                  "h",
		"status:5xx":                   "h",
		"status:5XX,200":               "hw",
		"status:>=400":                 "h",
		"status:<400":                  "w",
		"status:13":                    "w",
		"status:>0":                    "w",
		"-status:200":                  "h",
		"code:workload_reset":          "h",
		"code:workload_*":              "h",
		"code:*":                       "h",
		"-code:*":                      "w",
		"path:/hooks":                  "h",
		"path:/hooks/*":                "h",
		"path:/HOOKS/S*E":              "h",
		"path:/stripe":                 "",
		"path:stripe":                  "h",
		"path:ooks*pe":                 "h",
		"path:*":                       "hw",
		"path:/hooks/stripe?x=1*":      "h",
		"path:/hooks/stripe?y":         "",
		"path:/a,/hooks":               "h",
		"host:edge.example":            "h",
		"host:*.example.com":           "h",
		"host:shop*.example.org":       "",
		"route:api":                    "h",
		"route:ap":                     "",
		"tunnel:shop/dev-ada":          "h",
		"tunnel:dev-ada":               "h",
		"tunnel:dev-ada*":              "hw",
		"tunnel:tun_1":                 "h",
		"user:ada":                     "h",
		"user:ada@dev.test":            "h",
		"user:ad":                      "",
		"user:CI":                      "w",
		"ip:203.0.113.0/24":            "h",
		"ip:203.0.113.9":               "h",
		"ip:::ffff:203.0.113.9":        "h",
		"ip:2001:db8::/32":             "w",
		"ip:203.*":                     "h",
		"ip:0.0.0.0/0":                 "h",
		"edge:fra-1":                   "h",
		"dur:>500ms":                   "h",
		"dur:<=9ms":                    "w",
		"dur:>0.5s dur:<1m":            "h",
		"size:>1k":                     "h",
		"size:>1Ki":                    "h",
		"size:>1.2kB":                  "",
		"size:>=1200":                  "h",
		"size:0":                       "w",
		"size:<1M":                     "hw",
		"age:<5m":                      "h",
		"age:>1m30s":                   "hw",
		"header:x-request-id":          "h",
		"header:X-Request-Id=ABC":      "h",
		"header:content-type=*json*":   "h",
		"header:content-type=json":     "",
		`header:accept="a, b"`:         "h",
		"-header:x-request-id":         "w",
		"text:refund":                  "h",
		"text:REFUNDED":                "h",
		"text:äpfel":                   "h",
		"text:FÜR":                     "h",
		`text:"für ä"`:                 "h",
		"text:charge*äpfel":            "h",
		"text:äpfel*charge":            "",
		"-text:refund":                 "w",
		"text:nothing,ok":              "h",
		"is:grpc":                      "w",
		"is:open is:replay":            "w",
		"is:ws,pinned":                 "h",
		"is:failed":                    "hw",
		"is:cut":                       "",
		"/hooks":                       "h",
		"hooks":                        "h",
		"stripe?x=1":                   "h",
		"y=two":                        "h",
		"-hooks":                       "w",
		"h*s":                          "hw",
		"h*z":                          "",
		"/v1/items:batch":              "",
		`"is:open"`:                    "",
		`path:"/hooks"`:                "h",
		`path:"/ho\oks"`:               "h",
		`"*"`:                          "",
		"path:/hooks status:>=400":     "h",
		"METHOD:post Is:Failed -IS:ws": "hw",
	} {
		f, err := filter.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		if f.Match(now, hook()) {
			got += "h"
		}
		if f.Match(now, watch()) {
			got += "w"
		}
		if got != want {
			t.Errorf("%s: matches %q, not %q", text, got, want)
		}
	}
}

func TestParse_Refusals(t *testing.T) {
	for text, want := range map[string]string{ // a part of detail or hint
		"stat:500":                             "write status:",
		"foo:bar":                              `"foo:bar" in quotes looks for it in the path`,
		"duration:>5s":                         "write dur:",
		"path:/x  statu:500":                   "character 10",
		"ä statu:500":                          "character 3",
		"status:":                              "write status:500",
		"status:5yx":                           "is no status",
		"status:+5":                            "is no status",
		"status:1000":                          "is no status",
		"status:500,":                          "between commas",
		"dur:500ms":                            "write dur:>500ms",
		"dur:>500":                             "write dur:>500ms",
		"dur:>x":                               "write dur:>500ms",
		"age:<-5m":                             "write age:<5m",
		"size:1k":                              "write size:>1k",
		"size:>1x":                             "is no size",
		"size:>1e3":                            "is no size",
		"ip:300.1.1.1":                         "no address and no CIDR",
		"is:closed":                            "is:open",
		"header:":                              "header:x-request-id",
		"header:=x":                            "no name",
		"header:a=":                            "equals sign",
		`path:"/x`:                             `write "`,
		"-":                                    "says nothing",
		`""`:                                   "says nothing",
		"\xff":                                 "not UTF-8",
		strings.Repeat("a", local.MaxFilter+1): "4096 at most",
		strings.Repeat("a ", 65):               "one too many",
		strings.Repeat("text:a ", 9):           "one too many",
		"text:" + strings.Repeat("a", 5000):    "at most",
	} {
		_, err := filter.Parse(text)
		var e *mezu.Error
		if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != "filter" || !strings.Contains(e.Detail+" "+e.Hint, want) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// TestBodiesComeLast of all that is asked for, wherever the word stands.
func TestBodiesComeLast(t *testing.T) {
	s := hook()
	f, err := filter.Parse("text:refund header:x-none method:POST")
	if err != nil {
		t.Fatal(err)
	}
	if f.Match(now, s) || s.asked != 0 {
		t.Errorf("bodies were read %d times", s.asked)
	}
	if !f.Texts() || f.All() {
		t.Error("what the filter asks for")
	}
	if f, _ := filter.Parse("a"); f.Texts() || f.All() {
		t.Error("a filter without text: asks for bodies")
	}
	if f, _ := filter.Parse(""); f.Texts() || !f.All() {
		t.Error("an empty filter asks for something")
	}
}

// TestSearch compares the search of bodies with a simple one.
func TestSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "B", "b", "A", "é", "É", "ß", "ſ", "s", "K", "k", "K", "я", "Я", "世", "\xff", "Ω", "ω", "Ω", "."}
	make := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(letters[random.IntN(len(letters))])
		}
		return b.String()
	}
	for range 20_000 {
		hay, needle := make(random.IntN(40)), strings.ToValidUTF8(make(1+random.IntN(3)), "")
		if needle == "" {
			continue
		}
		f, err := filter.Parse(`text:"` + needle + `"`)
		if err != nil {
			t.Fatal(err)
		}
		p, err := filter.Parse(`"` + needle + `"`)
		if err != nil {
			t.Fatal(err)
		}
		s := &subject{texts: []string{hay}, row: mezu.Exchange{Path: hay}}
		inText, inPath := f.Match(now, s), p.Match(now, s)
		if inText != inPath {
			t.Fatalf("%q in %q: %v as a text, %v as a path", needle, hay, inText, inPath)
		}
		if strings.Contains(hay, needle) && !inText {
			t.Fatalf("%q is not found in %q", needle, hay)
		}
	}
}

// TestSearch_LinearTime would take minutes if it looked at a text again for each star or letter.
func TestSearch_LinearTime(t *testing.T) {
	hay := strings.Repeat("a", 1<<20)
	for _, text := range []string{"text:" + strings.Repeat("a", 4000) + "b", "text:" + strings.Repeat("a*", 2000) + "b", "text:" + strings.Repeat("ab", 2000),
		"path:" + strings.Repeat("a*", 2000) + "b", "path:" + strings.Repeat("*a", 2000) + "b", strings.Repeat("a", 4000) + "b"} {
		f, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if f.Match(now, &subject{texts: []string{hay}, row: mezu.Exchange{Path: hay}}) {
			t.Errorf("%.20s matches", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`method:POST -status:5xx path:"/a b*" text:a*b`, "/a b", "a b")
	f.Add(`ip:203.0.113.0/24 dur:>1s size:>1k age:<5m header:a=b is:ws`, "/", "")
	f.Add("text:ſ*K", "/", "sk")
	f.Fuzz(func(t *testing.T, text, path, body string) {
		parsed, err := filter.Parse(text)
		if err != nil {
			var e *mezu.Error
			if !errors.As(err, &e) || e.Field != "filter" {
				t.Fatal(err)
			}
			return
		}
		s := &subject{row: mezu.Exchange{Path: path, Client: path, Host: path, Query: body}, texts: []string{body}, header: map[string][]string{"a": {body}}}
		parsed.Match(now, s)
	})
}

func BenchmarkText(b *testing.B) {
	unit := []byte(`{"id":"evt_1PzX","type":"payment_intent.succeeded","data":{"object":{"amount":4200,"currency":"eur"}}},` + "\n")
	body := bytes.Repeat(unit, (64<<20)/len(unit))
	for _, words := range []string{"text:refund", "text:zebra", "text:eee", "text:ünter", "text:succeeded_not", "text:" + strings.Repeat("e", 30)} {
		f, err := filter.Parse(words)
		if err != nil {
			b.Fatal(err)
		}
		s := &bodies{body}
		b.Run(words, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if f.Match(now, s) {
					b.Fatal("found")
				}
			}
		})
	}
}

// bodies is one text.
type bodies struct{ text []byte }

func (b *bodies) Exchange() *mezu.Exchange         { return nil }
func (b *bodies) Header(string, func(string) bool) {}
func (b *bodies) Texts(yield func([]byte) bool)    { yield(b.text) }
