package pages

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/testkit"
)

// TestReadme: the tour, a tunnel from one's own machine to an installation that is there, and an
// installation of one's own.
func TestReadme(t *testing.T) {
	t.Parallel()
	server := map[string]string{"control.example.com": "10.0.0.3", "edge.example.com": "10.0.0.3", "*.edge.example.com": "10.0.0.3"}
	play(t, "README.md", world{
		machines: []string{"here", "hosted", "server", "web"},
		names:    names{hostedNames(2), map[string]map[string]string{"server": server, "web": server}},
		before: func(t *testing.T, all map[string]*machine) {
			all["here"].serves(8080, "hello")
			all["here"].serves(5173, "app")
			all["web"].serves(8080, "hello")
			for _, name := range []string{"here", "server"} {
				all[name].checkout()
			}
			host(t, all["hosted"], all["here"])
		},
	})
}

// checkout has the terminal in a folder with the sources, as far as pages need some.
func (m *machine) checkout() {
	m.t.Helper()
	m.write("mezu/Makefile", string(testkit.ReadData(m.t, "../../Makefile")))
	m.prepare("cd mezu")
}

// hostedNames are those of an installation on a machine.
func hostedNames(number int) map[string]string {
	address := fmt.Sprintf("%s%d", network, number)
	return map[string]string{"control.example.com": address, "edge.example.com": address, "*.edge.example.com": address}
}

// host runs an installation, whose certificates the other machine trusts, with an organization of
// which somebody there is a member.
func host(t *testing.T, m, here *machine) {
	t.Helper()
	m.prepare(`mezusphere all --state /var/lib/mezusphere --domain edge.example.com --api-hosts control.example.com
export API=https://control.example.com:7443 CURL_CA_BUNDLE=/var/lib/mezusphere/control/ca.pem
export MEZU_TOKEN=$(mezu bootstrap --api $API --ca-file $CURL_CA_BUNDLE -o json </var/lib/mezusphere/control/bootstrap | jq -r .token)
mezu orgs create acme --api $API --ca-file $CURL_CA_BUNDLE
curl -fsS -X POST -H "Authorization: Bearer $MEZU_TOKEN" $API/v1/self/login-link | jq -r .link >/page/homes/` + here.name + `/.link
cp $CURL_CA_BUNDLE /page/homes/` + here.name + `/.ca.pem`)
	here.enter("sh", "-ec", "mv .link /page/login-link; cat .ca.pem >>/etc/ssl/certs/ca-certificates.crt; rm .ca.pem")
}

// most is how long the first use of a build may take here: five times what it is to take at most on
// a machine that does nothing else (docs/performance.md).
const most = 10 * time.Second

// TestFirstUse: from a program that is built, and a home in which nothing is, to the first request
// that the workload answers.
func TestFirstUse(t *testing.T) {
	m := newMachines(t, names{}, "here")["here"]
	m.serves(8080, "hello")
	out := m.enter("bash", "-c", `
begin=$EPOCHREALTIME
/page/programs/mezu dev 8080 >/page/dev 2>&1 &
until curl -fsS --cacert ~/.local/state/mezu/dev/control/ca.pem https://you-development-dev.localhost:8443/ >/page/answer 2>&1; do
	sleep 0.01
done
grep -q hello /page/answer
echo $(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
kill %1 && wait`)
	took, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || time.Duration(took)*time.Millisecond > most {
		t.Errorf("the first request was served after %q ms, %v", out, err)
	}
	t.Logf("the first request was served after %d ms", took)
}
