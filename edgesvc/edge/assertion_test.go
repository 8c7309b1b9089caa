package edge_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
)

// A workload checks by the keys of its host what its Warpgate says after a real login, in each
// of the languages of the examples, and refuses it for another environment.
func TestH8_AssertionOfALogin(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signup("ann@example.com", "/my/")
	var text string
	controltest.Eventually(t, "the Warpgate to sign", func() bool {
		text = strings.TrimSpace(b.get("/my/assertion").body)
		return text != ""
	})
	var keys assertion.Keys
	if err := json.Unmarshal([]byte(b.get("/.mezu/jwks.json").body), &keys); err != nil {
		t.Fatal(err)
	}
	user, err := assertion.Check(text, &keys, b.env.URL, b.env.ID, w.in.Clock.Now())
	if err != nil || user.Email != "ann@example.com" {
		t.Fatalf("%+v, %v", user, err)
	}

	// The environment's name leads nowhere on this machine, so another one hands out what the
	// edge answers.
	keyServer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := b.client.Get(b.env.URL + r.URL.Path)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	}))
	defer keyServer.Close()
	roots := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keyServer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string][]string{
		"Node": {"node", "--input-type=module", "-e", `import { assertions } from "../../assertion/examples/assertion.mjs";
const [issuer, audience, other, keys, text] = process.argv.slice(1);
console.log((await assertions(issuer, audience, keys)(text)).sub);
await assertions(issuer, other, keys)(text).catch((e) => console.log(e.message));`},
		"Python": {"python3", "-c", `import sys
sys.path.insert(0, "../../assertion/examples")
sys.dont_write_bytecode = True
from assertion import Assertions
issuer, audience, other, keys, text = sys.argv[1:]
print(Assertions(issuer, audience, keys)(text)["sub"])
try:
    Assertions(issuer, other, keys)(text)
except ValueError as e:
    print(e)`},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Programs(t, command[0])
			if name == "Python" && exec.CommandContext(t.Context(), "python3", "-c", "import cryptography").Run() != nil {
				testkit.Missing(t, "python3-cryptography")
			}
			cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], b.env.URL, b.env.ID, w.pool.Environment.Name, keyServer.URL+"/.mezu/jwks.json", text)...)
			cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots, "NODE_EXTRA_CA_CERTS="+roots)
			var fault bytes.Buffer
			cmd.Stderr = &fault
			if out, err := cmd.Output(); err != nil || string(out) != user.Subject+"\nof another environment\n" {
				t.Errorf("%s %v %s", out, err, fault.Bytes())
			}
		})
	}
}
