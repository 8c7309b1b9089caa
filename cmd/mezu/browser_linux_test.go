package main

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/browser"
)

// programs makes these the only programs on the PATH. Each writes its name and its arguments
// to a file, one a line, talks, and ends as its text says.
func programs(t *testing.T, of map[string]string) (called func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for name, end := range of {
		text := "#!/bin/sh\nprintf '%s\\n' '" + name + "' \"$@\" >> '" + log + "'\necho chatter\necho chatter >&2\n" + end + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return func() string {
		data, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		os.Remove(log)
		return string(data)
	}
}

const hostile = `https://login.example.com/authorize?a=1&b='$(touch%20x)'&c=%22;calc.exe`

// A browser of this machine gets the address as one argument, and says nothing here.
func TestOpenBrowser(t *testing.T) {
	called := programs(t, map[string]string{"xdg-open": "exit 0"})
	open := browserOf(func(string) string { return "" }, "")
	var said bytes.Buffer
	browser.Stdout, browser.Stderr = &said, &said
	if err := open(hostile); err != nil || said.Len() > 0 {
		t.Errorf("%v, and the terminal has %q", err, said.String())
	}
	if got := called(); got != "xdg-open\n"+hostile+"\n" {
		t.Errorf("called %q", got)
	}
	for _, address := range []string{"http://login.example.com/", "javascript:alert(1)", "file:///etc/passwd", "-h", "", "https://a/ b", "https://a/\x1b[2J", "https://a/ä", "https://a/’;calc"} {
		if err := open(address); err == nil || called() != "" {
			t.Errorf("%q is opened", address)
		}
	}
	programs(t, nil)
	if err := open(hostile); err == nil {
		t.Error("there is no browser, and none is missed")
	}
	programs(t, map[string]string{"xdg-open": "exit 3"})
	if err := open(hostile); err == nil {
		t.Error("it failed, and nobody is told")
	}
}

// A browser that somebody has chosen goes first, with arguments of its own.
func TestOpenBrowser_Chosen(t *testing.T) {
	called := programs(t, map[string]string{"fails": "exit 1", "chosen": "exit 0", "xdg-open": "exit 0"})
	for browser, want := range map[string]string{
		"chosen":                   "chosen\n" + hostile + "\n",
		"fails::missing:chosen -n": "fails\n" + hostile + "\nchosen\n-n\n" + hostile + "\n",
		"chosen --url=%s -x":       "chosen\n--url=" + hostile + "\n-x\n",
		"missing":                  "xdg-open\n" + hostile + "\n",
	} {
		open := browserOf(func(name string) string { return map[string]string{"BROWSER": browser}[name] }, "")
		if err := open(hostile); err != nil {
			t.Error(err)
		}
		if got := called(); got != want {
			t.Errorf("%q called %q", browser, got)
		}
	}
}

// TestC3_TheBrowserIsHandedNoSecret: an address of the inspector's page, which has a token, is in
// no program's arguments. The browser gets a file that leads to it, and that nobody else can read.
func TestC3_TheBrowserIsHandedNoSecret(t *testing.T) {
	const address = "http://127.0.0.1:4711/#TOKENOFTHEPAGE"
	seen := filepath.Join(t.TempDir(), "seen")
	called := programs(t, map[string]string{"xdg-open": "/bin/cat /proc/[0-9]*/cmdline > '" + seen + "' 2> /dev/null\nexit 0"})
	folder := filepath.Join(t.TempDir(), "of a person", "page")
	before := filepath.Join(folder, "open-1.html")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(before, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(before, time.Time{}, time.Now().Add(-2*handedLife)); err != nil {
		t.Fatal(err)
	}
	if err := browserOf(func(string) string { return "" }, folder)(address); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(all), "xdg-open") || strings.Contains(string(all), "TOKENOF") {
		t.Errorf("the arguments of all programs are %q, %v", all, err)
	}
	opened, err := url.Parse(strings.TrimSpace(strings.TrimPrefix(called(), "xdg-open\n")))
	if err != nil || opened.Scheme != "file" || filepath.Dir(opened.Path) != folder {
		t.Fatalf("opened %v, %v", opened, err)
	}
	if text, err := os.ReadFile(opened.Path); err != nil || !strings.Contains(string(text), `content="0;url=`+address+`"`) {
		t.Errorf("it is handed %q, %v", text, err)
	}
	for path, want := range map[string]os.FileMode{folder: 0o700, opened.Path: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := os.Stat(before); !os.IsNotExist(err) {
		t.Errorf("what is of no use any more is kept: %v", err)
	}
	if err := browserOf(func(string) string { return "" }, "")(address); err == nil || called() != "" {
		t.Error("opened without a folder")
	}
}

// In WSL it is wslview, or else PowerShell, which gets a script that no shell takes apart.
func TestOpenBrowser_WSL(t *testing.T) {
	for _, name := range []string{"WSL_DISTRO_NAME", "WSL_INTEROP"} {
		open := browserOf(func(asked string) string {
			if asked == name {
				return "Debian"
			}
			return ""
		}, "")
		called := programs(t, map[string]string{"wslview": "exit 0", "powershell.exe": "exit 0", "xdg-open": "exit 0"})
		if err := open(hostile); err != nil || called() != "wslview\n"+hostile+"\n" {
			t.Error(err)
		}
		for _, of := range []map[string]string{{"powershell.exe": "exit 0", "xdg-open": "exit 0"}, {"wslview": "exit 1", "powershell.exe": "exit 0"}} {
			called = programs(t, of)
			if err := open(hostile); err != nil {
				t.Error(err)
			}
			lines := strings.Split(strings.TrimPrefix(called(), "wslview\n"+hostile+"\n"), "\n")
			if len(lines) != 6 || strings.Join(lines[:4], " ") != "powershell.exe -NoProfile -NonInteractive -EncodedCommand" {
				t.Fatalf("called %q", lines)
			}
			want := `Start-Process 'https://login.example.com/authorize?a=1&b=''$(touch%20x)''&c=%22;calc.exe'`
			if lines[4] != encoded(want) {
				t.Errorf("the script is %s", lines[4])
			}
		}
		programs(t, nil)
		if err := open(hostile); err == nil {
			t.Error("there is no browser, and none is missed")
		}
	}
	// What PowerShell reads: base64 of UTF-16, the low byte first.
	if got := encoded("a'ä"); got != "YQAnAOQA" {
		t.Error(got)
	}
}
