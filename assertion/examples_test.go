package assertion_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/testkit"
)

// Each of these reads the arguments and the assertions as JSON, and writes the user of each or
// null: first of two that ask at once, then of each, and of one six minutes later.
const (
	inNode = `import { assertions } from "./examples/assertion.mjs";
import { readFileSync } from "node:fs";
const { issuer, audience, keys, texts } = JSON.parse(readFileSync(0, "utf8"));
const who = assertions(issuer, audience, keys), out = {};
const ask = (text) => who(text).then((u) => u.sub, () => null);
[out.first, out.beside] = await Promise.all([ask(texts.good), ask(texts.good)]);
for (const [name, text] of Object.entries(texts)) out[name] = await ask(text);
const now = performance.now();
performance.now = () => now + 6 * 60_000;
out.later = await ask(texts.good);
console.log(JSON.stringify(out));`
	inPython = `import json, sys, time
sys.path.insert(0, "examples")
sys.dont_write_bytecode = True
from assertion import Assertions
given, out = json.load(sys.stdin), {}
who = Assertions(given["issuer"], given["audience"], given["keys"])
def ask(text):
    try:
        return who(text)["sub"]
    except ValueError:
        return None
out["first"] = out["beside"] = ask(given["texts"]["good"])
for name, text in given["texts"].items():
    out[name] = ask(text)
now = time.monotonic()
time.monotonic = lambda: now + 6 * 60
out["later"] = ask(given["texts"]["good"])
print(json.dumps(out))`
)

// The examples for workloads take what a Warpgate signs, and nothing that H8 lists. They learn
// by themselves of a key that is new, and of one that is listed no more.
func TestExamples(t *testing.T) {
	key, keys := signer()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		listed := keys
		if asked++; asked > 1 { // the Warpgate is gone
			listed = &assertion.Keys{Keys: []assertion.Key{}}
		}
		json.NewEncoder(w).Encode(listed)
	}))
	defer server.Close()
	good, texts := forgeries(key, time.Now())
	texts["good"] = good
	g := grantOf()
	g.NotAfter = time.Now().Add(time.Hour)
	minted, err := assertion.NewMinter(key, issuer, environment).Mint(g, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	texts["minted"] = string(minted)
	judge := func(t *testing.T, got map[string]*string) {
		t.Helper()
		if len(got) != len(texts)+3 {
			t.Fatalf("%d answers", len(got))
		}
		for name, user := range got {
			want := map[string]string{"good": "usr_1", "first": "usr_1", "beside": "usr_1", "minted": g.User}[name]
			if user == nil && want != "" || user != nil && *user != want {
				t.Errorf("%s: %v, not %q", name, user, want)
			}
		}
		if asked != 2 {
			t.Errorf("the keys were fetched %d times", asked)
		}
		asked = 0
	}
	given, err := json.Marshal(map[string]any{"issuer": issuer, "audience": environment, "keys": server.URL, "texts": texts})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Go", func(t *testing.T) {
		u := users{issuer: issuer, audience: environment, keysURL: server.URL}
		got := map[string]*string{}
		ask := func(name, text string) {
			got[name] = nil
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set(mezu.HeaderAssertion, text)
			if c, err := u.of(r); err == nil {
				got[name] = &c.Subject
			}
		}
		ask("first", good)
		ask("beside", good)
		for name, text := range texts {
			ask(name, text)
		}
		u.asked, u.fetched = u.asked.Add(-6*time.Minute), u.fetched.Add(-6*time.Minute)
		ask("later", good)
		judge(t, got)
	})
	for name, command := range map[string][]string{"Node": {"node", "--input-type=module", "-e", inNode}, "Python": {"python3", "-c", inPython}} {
		t.Run(name, func(t *testing.T) {
			testkit.Programs(t, command[0])
			if name == "Python" && exec.Command("python3", "-c", "import cryptography").Run() != nil {
				testkit.Missing(t, "python3-cryptography")
			}
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			var out, fault bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(given), &out, &fault
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, fault.Bytes())
			}
			var got map[string]*string
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, out.Bytes())
			}
			judge(t, got)
		})
	}
}

// What docs/login.md shows of the examples is in them, word for word.
func TestExamples_AsTheDocsShowThem(t *testing.T) {
	docs, err := os.ReadFile("../docs/login.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, file := range map[string]string{"go": "example_test.go", "js": "examples/assertion.mjs", "python": "examples/assertion.py"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, block, begun := strings.Cut(string(docs), "```"+language+"\n")
		block, _, ended := strings.Cut(block, "```\n")
		if !begun || !ended || !strings.Contains(string(code), block) {
			t.Errorf("%s does not have what is shown of it: %s", file, block)
		}
	}
}
