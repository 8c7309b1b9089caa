package doctor

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/local"
)

// bundleTimeout bounds what is asked for the bundle once the checks are done.
const bundleTimeout = 1500 * time.Millisecond

// writeBundle writes what somebody needs who is asked for help. The file is new and for this user
// alone: nothing is replaced, nor written into what somebody else made.
func writeBundle(ctx context.Context, e *examination, found Findings, file string) error {
	ctx, cancel := context.WithTimeout(ctx, bundleTimeout)
	defer cancel()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return there(file)
	}
	if err != nil {
		return fmt.Errorf("making the bundle: %w", err)
	}
	err = fill(ctx, f, e, found)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the bundle: %w", err), os.Remove(file))
	}
	return nil
}

// there refuses a file that is there.
func there(file string) error {
	u := exit.Usagef("%s is there already, and is not replaced", file)
	u.Hint = "mezu doctor --bundle with another name"
	return u
}

// fill writes the files of a bundle. Whatever goes into one goes through the mask.
func fill(ctx context.Context, f *os.File, e *examination, found Findings) error {
	settings, _ := e.settings.wait(ctx) // without them there are none to mask either
	mine, _ := e.secrets.wait(ctx)      // login says why there are none
	m := newMask(e.known(mine)...)
	z := zip.NewWriter(f)
	log, err := e.log(ctx)
	if err != nil {
		log = []byte("no log: " + err.Error() + "\n")
	}
	texts := map[string][]byte{"daemon.log": log}
	daemon, _ := e.daemon.wait(ctx) // the results say why there is none
	for name, value := range map[string]any{
		"versions.json": versions(e, daemon), "settings.json": e.shownSettings(settings, mine), "results.json": found, "tunnels.json": withoutPasswords(daemon.tunnels),
	} {
		if texts[name], err = json.MarshalIndent(value, "", "  "); err != nil {
			return err
		}
	}
	for _, name := range []string{"versions.json", "settings.json", "results.json", "tunnels.json", "daemon.log"} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: e.inv.Clock()})
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(m.text(string(texts[name])))); err != nil {
			return err
		}
	}
	return z.Close()
}

// log is the end of the daemon's log. Without a daemon that answers, it is that of the last one.
func (e *examination) log(ctx context.Context) ([]byte, error) {
	f, err := e.daemon.wait(ctx)
	var log []byte
	switch {
	case err == nil:
		log, err = f.client.Log(ctx, local.MaxLog)
	default:
		log, err = e.stored()
	}
	if err != nil {
		return nil, err
	}
	// A line that was cut may be the end of a secret, which nothing would find.
	if _, rest, ok := bytes.Cut(log, []byte("\n")); ok && len(log) >= local.MaxLog {
		log = rest
	}
	return log, nil
}

// withoutPasswords are tunnels without what passwords are checked by.
func withoutPasswords(tunnels []mezu.Tunnel) []mezu.Tunnel {
	out := slices.Clone(tunnels)
	for i := range out {
		if p := out[i].BasicAuth; p != nil {
			out[i].BasicAuth = &mezu.TunnelPassword{User: p.User}
		}
	}
	return out
}

// versions are those of all that takes part.
func versions(e *examination, d daemonFact) map[string]string {
	out := map[string]string{"mezu": e.inv.Version, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH, "daemon": d.status.Version}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				out["commit"] = s.Value
			}
		}
	}
	return out
}

// secretVariables hold secrets. Of these it is told whether they are set.
func secretVariables() []string { return []string{"MEZU_TOKEN", "MEZU_BASIC_AUTH"} }

// shownVariables are those that change what commands do.
func shownVariables() []string {
	return []string{"MEZU_API", "MEZU_ORG", "MEZU_PROJECT", "MEZU_ENVIRONMENT", "MEZU_PROFILE", "MEZU_CA_FILE", "MEZU_HOME", "MEZU_NO_KEYRING",
		"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "CI", "NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "GOMEMLIMIT", "GODEBUG"}
}

// shownSettings is what commands work with.
func (e *examination) shownSettings(s invocation.Settings, mine secrets) map[string]any {
	variables := map[string]string{}
	for _, name := range shownVariables() {
		if v := e.inv.Getenv(name); v != "" {
			if strings.EqualFold(name, "https_proxy") {
				if u, err := parseProxy(v); err == nil {
					v = maskURL(u)
				} else {
					v = masked
				}
			}
			variables[name] = v
		}
	}
	for _, name := range secretVariables() {
		if e.inv.Getenv(name) != "" {
			variables[name] = masked
		}
	}
	return map[string]any{
		"api": s.API, "ca_file": s.CAFile, "organization": s.Organization, "project": s.Project, "environment": s.Environment, "profile": s.Profile, "socket": s.Socket,
		"logged_in": mine.token != "", "renews": mine.refresh != "", "directory": e.inv.Dir, "state": e.inv.State, "variables": variables,
	}
}

// known are the secrets that this run knows.
func (e *examination) known(mine secrets) []string {
	out := []string{mine.token, mine.refresh}
	for _, name := range secretVariables() {
		out = append(out, e.inv.Getenv(name))
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if u, err := parseProxy(e.inv.Getenv(name)); err == nil && u.User != nil {
			password, _ := u.User.Password()
			out = append(out, password, u.User.String())
		}
	}
	return out
}
