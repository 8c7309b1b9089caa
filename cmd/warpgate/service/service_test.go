package service

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// awkward is a word with all that a shell, systemd or XML gives a meaning to.
const awkward = `/opt/a b/$HOME ${X} %h "q" 'q' \x & <y>`

// maxExposure is how much of a machine the service may be open to, in tenths, as systemd-analyze
// counts: a service without settings has 96, a tight one below 20.
const maxExposure = 15

func testSpec(name string) Spec {
	return Spec{Name: name, Arguments: []string{"--api", "https://control.example.com", "--upstream", "localhost:8080"}, Target: "localhost:8080", Token: "mezukey_secret", CA: []byte("ca\n"),
		Environment: map[string]string{"NO_PROXY": "100%\nUser=root"}}
}

// TestUnitIsVerified has systemd itself read the units, and judge how far they are shut in.
func TestUnitIsVerified(t *testing.T) {
	testkit.Programs(t, "systemd-analyze")
	program := filepath.Join(t.TempDir(), "a b$HOME %h")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, user := range []bool{false, true} {
		m := &systemd{Host{User: user, Home: t.TempDir(), Program: program, Root: "/"}}
		path := filepath.Join(t.TempDir(), ID("blue")+".service")
		if err := os.WriteFile(path, []byte(m.unit(testSpec("blue"))), 0o600); err != nil {
			t.Fatal(err)
		}
		words := []string{"verify", "--man=no", path}
		if user {
			words = append(words, "--user")
		}
		cmd := exec.Command("systemd-analyze", words...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("user %v: %v: %s", user, err, out)
		}
		if user {
			continue // of a user's service it can't be asked
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprint("--threshold=", maxExposure), path).CombinedOutput()
		if err != nil {
			t.Errorf("exposed: %v: %s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Log(lines[len(lines)-1])
	}
}

// TestReference: the unit in deploy, for packages and those who install by other means, is what install
// writes.
func TestReference(t *testing.T) {
	s := Spec{Arguments: []string{"--api", "https://control.example.com:7443", "--upstream", "localhost:8080"}, Target: "localhost:8080"}
	testkit.Written(t, "../../../deploy/systemd", "warpgate*", map[string]string{"warpgate.service": (&systemd{Host{Program: "/usr/bin/warpgate", Root: "/"}}).unit(s)})
}

// TestUnit: systemd is to mean by the words what we do.
func TestUnit(t *testing.T) {
	s := testSpec("")
	s.Arguments = []string{"--upstream", awkward}
	quoted := `"/opt/a b/$HOME ${X} %%h \"q\" 'q' \\x & <y>"`
	doubled := strings.ReplaceAll(quoted, "$", "$$")
	for _, user := range []bool{false, true} {
		text := (&systemd{Host{User: user, Home: "/home/ana", Program: awkward, Root: "/"}}).unit(s)
		files := ` "--token-file" "${CREDENTIALS_DIRECTORY}/token" "--ca-file" "${CREDENTIALS_DIRECTORY}/ca.pem" "--state" "${STATE_DIRECTORY}"`
		if user {
			files = ` "--token-file" "/home/ana/.config/mezu/warpgate/token" "--ca-file" "/home/ana/.config/mezu/warpgate/ca.pem" "--state" "/home/ana/.local/state/mezu/warpgate"`
		}
		want := "ExecStart=" + quoted + ` "--upstream" ` + doubled + strings.NewReplacer(`"--token-file"`, "--token-file", `"--ca-file"`, "--ca-file", `"--state"`, "--state").Replace(files) + "\n"
		if !strings.Contains(text, want) || !strings.Contains(text, "Environment=\"NO_PROXY=100%%\\nUser=root\"\n") || strings.Contains(text, "secret") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// draining is a launchd whose services take a moment to end, in which it takes no other of their name.
const draining = `for last; do :; done
n=${last##*/} n=$0.${n%.plist}
case $1 in
bootstrap) [ ! -e "$n.runs" ] && [ ! -e "$n.ends" ] && : >"$n.runs";;
bootout) [ -e "$n.runs" ] && mv "$n.runs" "$n.ends";;
print) [ -e "$n.runs" ] || { [ -e "$n.ends" ] && rm "$n.ends"; };;
esac
`

// world is a machine of its own, whose manager writes down what it is asked.
type world struct {
	Host
	t     *testing.T
	asked string
	said  *testkit.Buffer
}

func newWorld(t *testing.T, system, manager string) *world {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the manager is stood in for by a script")
	}
	w := &world{t: t, asked: filepath.Join(t.TempDir(), "asked"), said: &testkit.Buffer{}}
	w.Host = Host{OS: system, Home: t.TempDir(), Program: "/usr/local/bin/warpgate", Root: t.TempDir(), Say: func(format string, args ...any) { fmt.Fprintf(w.said, format+"\n", args...) }}
	bin := t.TempDir()
	script := "#!/bin/sh\n[ -e '" + w.asked + ".fails' ] && { echo no manager >&2; exit 1; }\necho \"$@\" >> '" + w.asked + "'\n" + draining
	err := errors.Join(os.WriteFile(filepath.Join(bin, manager), []byte(script), 0o700), os.MkdirAll(filepath.Join(w.Root, bootedFile), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return w
}

// calls gives what the manager was asked since the last time.
func (w *world) calls() string {
	text, err := os.ReadFile(w.asked)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	os.Remove(w.asked)
	return string(text)
}

// files are those that there are, with their modes.
func (w *world) files(dir string) string {
	w.t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			out = append(out, fmt.Sprintf("%s %04o", strings.TrimPrefix(path, dir), info.Mode().Perm()))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// TestSystemd: several are installed beside one another, again and with other flags; each is
// removed alone, and nothing of the token is anywhere but in its file.
func TestSystemd(t *testing.T) {
	for _, user := range []bool{false, true} {
		w := newWorld(t, "linux", "systemctl")
		w.User = user
		dir, unit, etc, flag := w.Root, "/etc/systemd/system/", "/etc/", ""
		if user {
			dir, unit, etc, flag = w.Home, "/.config/systemd/user/", "/.config/mezu/", "--user "
		}
		first, second := testSpec(""), testSpec("blue")
		second.CA = nil
		if err := w.Install(t.Context(), Spec{}); mezu.CodeOf(err) != mezu.CodeInvalid || w.files(dir) != "" || w.calls() != "" {
			t.Errorf("without a token: %v", err)
		}
		for _, s := range []Spec{first, second} {
			if err := w.Install(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		of := func(name string) string {
			return flag + "daemon-reload\n" + flag + "enable " + name + ".service\n" + flag + "restart " + name + ".service\n"
		}
		if calls := w.calls(); calls != of("warpgate")+of("warpgate-blue") {
			t.Errorf("%s", calls)
		}
		if user {
			want := "/.config/mezu/warpgate/ca.pem 0600\n/.config/mezu/warpgate/token 0600\n/.config/mezu/warpgate-blue/token 0600\n/.config/systemd/user/warpgate-blue.service 0644\n/.config/systemd/user/warpgate.service 0644"
			if got := w.files(dir); got != want {
				t.Errorf("%s", got)
			}
		} else if got, want := w.files(dir), "/etc/systemd/system/warpgate-blue.service 0644\n/etc/systemd/system/warpgate.service 0644\n/etc/warpgate/ca.pem 0600\n/etc/warpgate/token 0600\n/etc/warpgate-blue/token 0600"; got != want {
			t.Errorf("%s", got)
		}
		token := filepath.Join(dir, etc, "warpgate", tokenFile)
		if text, err := os.ReadFile(token); err != nil || string(text) != "mezukey_secret\n" {
			t.Errorf("%q, %v", text, err)
		}
		// Again, without the token, and with another flag.
		first.Token, first.CA = "", nil
		first.Arguments = append(first.Arguments, "--max-conns", "7")
		if err := w.Install(t.Context(), first); err != nil || w.calls() != of("warpgate") {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, unit, "warpgate.service"))
		if err != nil || !strings.Contains(string(text), `"--max-conns" "7"`) || strings.Contains(string(text), caFile) || !strings.Contains(w.files(dir), "/warpgate/token") || strings.Contains(w.files(dir), caFile) {
			t.Errorf("%s, %v", text, err)
		}
		// A manager that fails leaves what can be removed.
		if err := os.WriteFile(w.asked+".fails", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Install(t.Context(), first); mezu.CodeOf(err) != mezu.CodeUnavailable || !strings.Contains(err.Error(), "no manager") {
			t.Errorf("%v", err)
		}
		if err := w.Uninstall(t.Context(), ""); err == nil || !strings.Contains(w.files(dir), "/warpgate.service") {
			t.Errorf("%v", err)
		}
		os.Remove(w.asked + ".fails")
		for range 2 {
			if err := w.Uninstall(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if left := w.files(dir); strings.Contains(left, "/warpgate/") || strings.Contains(left, "warpgate.service") || strings.Count(left, "blue") != 2 {
				t.Errorf("%s", left)
			}
		}
		if calls := w.calls(); calls != flag+"disable --now warpgate.service\n"+flag+"daemon-reload\n" {
			t.Errorf("%s", calls)
		}
		stays := "rm -r /var/lib/private/warpgate /var/lib/warpgate removes it"
		if user {
			stays = "rm -r " + w.Home + "/.local/state/mezu/warpgate removes it"
		}
		if said := w.said.String(); strings.Contains(said, "secret") || !strings.Contains(said, stays) || !strings.Contains(said, "there is no service called warpgate") || !strings.Contains(said, "systemctl "+flag+"status warpgate-blue.service") {
			t.Errorf("%s", said)
		}
		if err := w.Uninstall(t.Context(), "blue"); err != nil || w.files(dir) != "" {
			t.Errorf("%v, %s", err, w.files(dir))
		}
	}
}

// TestRefusedBySystemd: what could not run is refused before anything is written.
func TestRefusedBySystemd(t *testing.T) {
	w := newWorld(t, "linux", "systemctl")
	for want, program := range map[string]string{"sees nothing below /home/": "/home/ana/warpgate", "line end": "/opt/a\nb"} {
		w.Program = program
		if err := w.Install(t.Context(), testSpec("")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	w.Program = "/opt/warpgate"
	os.RemoveAll(filepath.Join(w.Root, "run"))
	if err := w.Install(t.Context(), testSpec("")); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("%v", err)
	}
	w.OS = "plan9"
	if err := w.Install(t.Context(), testSpec("")); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if w.files(w.Root) != "" || w.calls() != "" {
		t.Errorf("%s", w.files(w.Root))
	}
}

// TestLaunchd: the property list is well-formed and has the words as they are; what launchd itself
// makes of it only macOS shows.
func TestLaunchd(t *testing.T) {
	w := newWorld(t, "darwin", "launchctl")
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	w.Account, w.Program = self.Username, awkward
	for range 2 {
		if err := w.Install(t.Context(), testSpec("")); err != nil {
			t.Fatal(err)
		}
	}
	if files := w.files(w.Root); files != "/Library/Application Support/warpgate/ca.pem 0600\n/Library/Application Support/warpgate/token 0600\n/Library/LaunchDaemons/com.mezusphere.warpgate.plist 0644" {
		t.Errorf("%s", files)
	}
	if text, err := os.ReadFile(filepath.Join(w.Root, "Library/LaunchDaemons/com.mezusphere.warpgate.plist")); err != nil || !strings.Contains(string(text), "<key>UserName</key>\n\t<string>"+self.Username+"</string>") {
		t.Errorf("%s, %v", text, err)
	}
	if calls := w.calls(); strings.Count(calls, "bootstrap system ") != 2 {
		t.Errorf("%s", calls)
	}
	w.User = true
	s := testSpec("blue")
	for range 2 {
		if err := w.Install(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if files := w.files(w.Home); files != "/Library/Application Support/mezu/warpgate-blue/ca.pem 0600\n/Library/Application Support/mezu/warpgate-blue/token 0600\n/Library/LaunchAgents/com.mezusphere.warpgate-blue.plist 0644" {
		t.Errorf("%s", files)
	}
	text, err := os.ReadFile(filepath.Join(w.Home, "Library/LaunchAgents/com.mezusphere.warpgate-blue.plist"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.Home, "Library/Application Support/mezu/warpgate-blue")
	var words []string
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok && (start.Name.Local == "string" || start.Name.Local == "key") {
			var word string
			if err := d.DecodeElement(&word, &start); err != nil {
				t.Fatal(err)
			}
			words = append(words, word)
		}
	}
	want := []string{"Label", "com.mezusphere.warpgate-blue", "ProgramArguments", awkward, "--api", "https://control.example.com", "--upstream", "localhost:8080", "--token-file", dir + "/token", "--ca-file", dir + "/ca.pem",
		"--state", dir + "/state", "--log-file", dir + "/log/warpgate.log", "EnvironmentVariables", "NO_PROXY", "100%\nUser=root", "RunAtLoad", "KeepAlive", "SuccessfulExit", "ThrottleInterval", "ExitTimeOut", "Umask"}
	if strings.Join(words, "|") != strings.Join(want, "|") {
		t.Errorf("%q", words)
	}
	domain := fmt.Sprintf("gui/%d", os.Getuid())
	end := "bootout " + domain + "/com.mezusphere.warpgate-blue\nprint " + domain + "/com.mezusphere.warpgate-blue\n"
	begin := "bootstrap " + domain + " " + w.Home + "/Library/LaunchAgents/com.mezusphere.warpgate-blue.plist\n"
	again := "print " + domain + "/com.mezusphere.warpgate-blue\n"
	if calls := w.calls(); calls != end+begin+end+again+begin {
		t.Errorf("%s", calls)
	}
	// Whom it runs as writes into its folders alone; they stay.
	log := dir + "/log/warpgate.log"
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := w.Uninstall(t.Context(), "blue"); err != nil || w.files(w.Home) != strings.TrimPrefix(log, w.Home)+" 0600" {
		t.Errorf("%v, %s", err, w.files(w.Home))
	}
	for _, path := range []string{"state", "log"} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}
