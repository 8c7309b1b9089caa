package daemon

import (
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestC3_EnvironmentOfTheDaemon: only what is on the list passes.
func TestC3_EnvironmentOfTheDaemon(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the names are those of Unix")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	all := []string{
		"HOME=/u", "MEZU_HOME=here", "XDG_RUNTIME_DIR=/run/user/7", "LC_ALL=C", "HTTPS_PROXY=http://p:1", "no_proxy=", "SSL_CERT_FILE=/ca",
		"MEZU_TOKEN=secret", "MEZU_API=https://x", "MEZU_PROFILE=p", "MEZU_BASIC_AUTH=secret", "GITHUB_TOKEN=secret", "AWS_SECRET_ACCESS_KEY=secret",
		"MEZU_TEST=1", "SSH_AUTH_SOCK=/s", "HOMES=secret", "malformed",
	}
	got := Environment(func(name string) string {
		for _, entry := range all {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}, all)
	want := []string{"HOME=/u", "HTTPS_PROXY=http://p:1", "LC_ALL=C", "MEZU_HOME=" + filepath.Join(dir, "here"), "SSL_CERT_FILE=/ca", "XDG_RUNTIME_DIR=/run/user/7"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if Environment(func(string) string { return "" }, nil) == nil {
		t.Error("to os/exec nil is the environment of this process")
	}
}

func TestServiceEnvironment(t *testing.T) {
	of := func(env map[string]string) (map[string]string, []string) {
		return serviceEnvironment(func(name string) string { return env[name] })
	}
	env, left := of(map[string]string{"HOME": "/u", "MEZU_TOKEN": "secret", "HTTPS_PROXY": "http://me:secret@proxy:3128", "http_proxy": "me:secret@proxy:3128", "NO_PROXY": "a,b", "PATH": "/bin"})
	if want := map[string]string{"XDG_RUNTIME_DIR": "", "NO_PROXY": "a,b"}; !maps.Equal(env, want) || strings.Join(left, " ") != "HTTPS_PROXY http_proxy" {
		t.Errorf("%v, left out %v", env, left)
	}
	env, left = of(map[string]string{"MEZU_HOME": "/m", "XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s", "HTTPS_PROXY": "http://proxy:3128"})
	if want := map[string]string{"XDG_RUNTIME_DIR": "/run/user/7", "MEZU_HOME": "/m", "XDG_STATE_HOME": "/s", "HTTPS_PROXY": "http://proxy:3128"}; !maps.Equal(env, want) || left != nil {
		t.Errorf("%v, left out %v", env, left)
	}
}
