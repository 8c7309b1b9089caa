package service

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// launchd runs services of macOS (launchd.plist(5)).
type launchd struct{ Host }

// label is what launchd calls a service.
func label(name string) string { return "com.mezusphere." + ID(name) }

func (m *launchd) check(Spec) error {
	if !m.User && m.Account == "" {
		return mezu.Errorf(mezu.CodeInvalid, "nobody is named whom the service could run as")
	}
	return nil
}

func (m *launchd) plistPath(name string) string {
	if m.User {
		return filepath.Join(m.Home, "Library", "LaunchAgents", label(name)+".plist")
	}
	return m.below(filepath.Join("/Library/LaunchDaemons", label(name)+".plist"))
}

// dir is the folder of token, certificate and log. That of the system's service is root's, because
// whom it runs as could otherwise put other files there.
func (m *launchd) dir(name string) string {
	if m.User {
		return filepath.Join(m.Home, "Library", "Application Support", "mezu", ID(name))
	}
	return m.below(filepath.Join("/Library/Application Support", ID(name)))
}

// logFile is in a folder of its own, in which whom the service runs as can begin a new one: launchd
// would let the file of a service grow without end.
func (m *launchd) logFile(name string) string {
	return filepath.Join(m.dir(name), "log", "warpgate.log")
}

// dirMode lets whom the system's service runs as into the folder.
func (m *launchd) dirMode() os.FileMode {
	if m.User {
		return 0o700
	}
	return 0o711
}

// domain is where launchctl looks for the service.
func (m *launchd) domain() string {
	if m.User {
		return "gui/" + strconv.Itoa(os.Getuid())
	}
	return "system"
}

func (m *launchd) install(ctx context.Context, s Spec) error {
	owner := sameUser
	if !m.User {
		u, err := user.Lookup(m.Account)
		if err != nil {
			return fmt.Errorf("looking for the account of the service: %w", err)
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		owner = func(path string) error { return os.Chown(path, uid, -1) }
	}
	dir := m.dir(s.Name)
	if err := m.keepFiles(dir, m.dirMode(), s, owner); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(dir, stateFolder), filepath.Dir(m.logFile(s.Name))} {
		if err := errors.Join(os.MkdirAll(path, 0o700), owner(path)); err != nil {
			return err
		}
	}
	path := m.plistPath(s.Name)
	if err := m.writeService(path, m.plist(s)); err != nil {
		return err
	}
	if err := m.end(ctx, s.Name); err != nil {
		return err
	}
	if err := command(ctx, "launchctl", "bootstrap", m.domain(), path); err != nil {
		return err
	}
	m.Say("launchd runs %s from now on", label(s.Name))
	m.Say("  next: launchctl print %s/%s; tail -f %q", m.domain(), label(s.Name), m.logFile(s.Name))
	return nil
}

// end has launchd forget the service, and waits until it has: while one drains, launchd takes no
// other of its name.
func (m *launchd) end(ctx context.Context, name string) error {
	target := m.domain() + "/" + label(name)
	_ = command(ctx, "launchctl", "bootout", target) // it may not be there
	return awaitEnd(ctx, func() (bool, error) {
		gone := command(ctx, "launchctl", "print", target) != nil
		return gone, ctx.Err()
	})
}

func (m *launchd) uninstall(ctx context.Context, name string) (bool, error) {
	path, dir := m.plistPath(name), m.dir(name)
	if !exists(path) {
		return false, m.dropFiles(dir)
	}
	if err := m.end(ctx, name); err != nil {
		return true, err
	}
	if err := remove(path); err != nil {
		return true, err
	}
	m.Say("%s is gone, and its token", label(name))
	m.Say("  its certificate and log stay: rm -r %q removes them", dir)
	return true, m.dropFiles(dir)
}

// plist is the property list of a service.
func (m *launchd) plist(s Spec) string {
	var b strings.Builder
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n<dict>\n")
	entry := func(indent, key, value string) {
		b.WriteString(indent + "<key>" + plistText(key) + "</key>\n" + indent + value + "\n")
	}
	text := func(s string) string { return "<string>" + plistText(s) + "</string>" }
	dir := m.dir(s.Name)
	words := append([]string{m.Program}, s.Arguments...)
	words = append(words, "--token-file", filepath.Join(dir, tokenFile))
	if len(s.CA) > 0 {
		words = append(words, "--ca-file", filepath.Join(dir, caFile))
	}
	words = append(words, "--state", filepath.Join(dir, stateFolder), "--log-file", m.logFile(s.Name))
	var array strings.Builder
	for _, w := range words {
		array.WriteString("\t\t" + text(w) + "\n")
	}
	entry("\t", "Label", text(label(s.Name)))
	entry("\t", "ProgramArguments", "<array>\n"+array.String()+"\t</array>")
	if len(s.Environment) > 0 {
		b.WriteString("\t<key>EnvironmentVariables</key>\n\t<dict>\n")
		for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
			entry("\t\t", name, text(s.Environment[name]))
		}
		b.WriteString("\t</dict>\n")
	}
	if !m.User {
		entry("\t", "UserName", text(m.Account))
	}
	entry("\t", "RunAtLoad", "<true/>")
	entry("\t", "KeepAlive", "<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>")
	entry("\t", "ThrottleInterval", "<integer>5</integer>")
	entry("\t", "ExitTimeOut", fmt.Sprintf("<integer>%d</integer>", stopSeconds))
	entry("\t", "Umask", "<integer>63</integer>") // 0077
	b.WriteString("</dict>\n</plist>\n")
	return b.String()
}

func plistText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // to memory
	return b.String()
}
