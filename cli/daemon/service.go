package daemon

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/kardianos/service"
	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// ServiceName is that of the service which the system starts at login: mezu.service,
// mezu.plist, or mezu among the services of Windows.
const ServiceName = "mezu"

// describes is what the system shows of the service.
const describes = "Tunnels of mezu (local daemon)"

func newInstall(inv *invocation.Invocation, d *Daemon) *cli.Command {
	c := plain("install", "Have the system run the daemon from each login on", "A user unit of systemd, an agent of launchd, or a service of Windows. It may be repeated: the service is\n"+
		"then as this program and these variables would have it. Without it, mezu tunnel starts the daemon.",
		func(ctx context.Context) error { return d.install(ctx) })
	if runtime.GOOS == "windows" {
		c.Description += "\n\nWindows runs a service as the account that it is told, which is asked for its password. Run this as\nan administrator."
	}
	return c
}

func newUninstall(inv *invocation.Invocation) *cli.Command {
	return plain("uninstall", "Have the system forget the daemon", "The daemon that runs now ends. Tunnels and their state stay.",
		func(context.Context) error { return uninstall(inv) })
}

// install makes the service anew, and starts it in the place of a daemon that runs.
func (d *Daemon) install(ctx context.Context) error {
	inv := d.inv
	program, err := Executable()
	if err != nil {
		return err
	}
	env, left := serviceEnvironment(inv.Getenv)
	password, err := servicePassword(ctx, inv)
	if err != nil {
		return err
	}
	s, err := systemService(program, env, password)
	if err != nil {
		return err
	}
	if installed(s) {
		_ = s.Stop() // it may not run
		if err := s.Uninstall(); err != nil {
			return refusedBySystem("removing the service that was there", err)
		}
	}
	if err := s.Install(); err != nil {
		return refusedBySystem("installing the service", err)
	}
	for _, name := range left {
		inv.Signf(terminal.Caution, "%s has a password and is not written down: add it to the service yourself", name)
	}
	// A daemon that was started by a command holds socket and state.
	if _, _, err := d.end(ctx, local.Shutdown{Drain: local.DrainFor(local.RestartDrain), Restart: true}); err != nil && !errors.Is(err, local.ErrNotRunning) {
		return err
	}
	if err := s.Start(); err != nil {
		return refusedBySystem("starting the service", err)
	}
	inv.Signf(terminal.Good, "%s runs the daemon from now on, after each login", s.Platform())
	if runtime.GOOS == "linux" {
		inv.Sayf("  before you log in too, and after you log out: loginctl enable-linger")
	}
	return nil
}

// uninstall removes the service. If there is none, that is no error.
func uninstall(inv *invocation.Invocation) error {
	s, err := systemService("", nil, "")
	if err != nil {
		return err
	}
	if !installed(s) {
		inv.Sayf("no service is installed")
		return nil
	}
	_ = s.Stop() // it may not run
	if err := s.Uninstall(); err != nil {
		return refusedBySystem("removing the service", err)
	}
	inv.Signf(terminal.Good, "the service is gone; mezu tunnel starts the daemon when it needs it")
	return nil
}

// refusedBySystem adds what to look at to the error of a service manager.
func refusedBySystem(doing string, err error) error {
	hint := "mezu daemon start runs it without a service"
	switch runtime.GOOS {
	case "linux":
		hint = "systemctl --user status; " + hint
	case "windows":
		hint = "in a console of an administrator; " + hint
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s: %v", doing, err), Hint: hint, Cause: err}
}

// Executable is the path of this program as it is to be started again. It is that of the
// present one where this one was replaced.
func Executable() (string, error) {
	path, err := os.Executable()
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("the program of this command is gone: %v", err), Hint: "install mezu again, and repeat the command", Cause: err}
	}
	return path, nil
}

// nothing is what the library would run. It only installs.
type nothing struct{}

func (nothing) Start(service.Service) error { return nil }
func (nothing) Stop(service.Service) error  { return nil }

// systemService is the service in the terms of the system.
func systemService(program string, env map[string]string, password string) (service.Service, error) {
	arguments := serviceArguments()
	systemd, launchd := unit(program, arguments, env), agent(program, arguments, env)
	if strings.Contains(systemd, "{{") { // to the library it is the beginning of an action
		return nil, mezu.Errorf(mezu.CodeInvalid, "a path with {{ can't be that of a service")
	}
	c := &service.Config{
		Name: ServiceName, DisplayName: "mezu", Description: describes, Executable: program, Arguments: arguments, EnvVars: env,
		Option: service.KeyValue{"UserService": true, "SystemdScript": systemd, "LaunchdConfig": launchd},
	}
	if runtime.GOOS == "windows" {
		c.Option["OnFailure"], c.Option["Password"] = "restart", password
		c.UserName = account()
	}
	if runtime.GOOS != "linux" {
		return service.New(nothing{}, c)
	}
	for _, system := range service.AvailableSystems() {
		if system.String() != "linux-systemd" {
			continue
		}
		if _, err := exec.LookPath("systemctl"); err == nil {
			return system.New(nothing{}, c)
		}
	}
	return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "this system has no systemd to run a service of yours", Hint: "mezu daemon start, in a file that runs when you log in"}
}

// serviceArguments are those with which the system starts this program.
func serviceArguments() []string {
	return []string{commandName, runName, "--" + idleFlag, "0s", "--" + serviceFlag}
}

// startProcess starts the daemon: as the service, if one is installed that is this program with
// this environment, so that the system goes on looking after it; else as a process of its own.
func (d *Daemon) startProcess() (Started, error) {
	program, err := Executable()
	if err != nil {
		return Started{}, err
	}
	env, _ := serviceEnvironment(d.inv.Getenv)
	text, err := os.ReadFile(serviceFile())
	if err != nil || string(text) != unit(program, serviceArguments(), env) && string(text) != agent(program, serviceArguments(), env) {
		return d.start()
	}
	s, err := systemService(program, env, "")
	if err == nil {
		err = startAnew(s)
	}
	if err != nil { // without a session of the user there is no manager to ask
		return d.start()
	}
	return Started{}, nil
}

// startAnew starts a service whose daemon is none any more. Its process may be there for a moment
// yet, or its manager may hold it for one that runs: a start alone would do nothing then.
func startAnew(s service.Service) error {
	_ = s.Stop() // it may not run
	return s.Start()
}

// installed reports whether the service is there. The library can't tell one that is there and
// failed from one that isn't, so where services are files they are looked for.
func installed(s service.Service) bool {
	if path := serviceFile(); path != "" {
		_, err := os.Lstat(path)
		return err == nil
	}
	_, err := s.Status()
	return err == nil
}

// serviceFile is where the library writes the service; empty on Windows.
func serviceFile() string {
	user, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	switch runtime.GOOS {
	case "linux":
		return filepath.Join(user, ".config", "systemd", "user", ServiceName+".service")
	case "darwin":
		return filepath.Join(user, "Library", "LaunchAgents", ServiceName+".plist")
	}
	return ""
}

// unit is a user unit of systemd (systemd.unit(5), systemd.syntax(7)). That of the library is
// for the system's own.
func unit(program string, arguments []string, env map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\nDocumentation=https://github.com/mezusphere/mezu\n\n[Service]\nType=simple\nExecStart=%s", describes, unitQuoted(program))
	for _, a := range arguments {
		b.WriteString(" " + unitWord(a))
	}
	// A daemon that was told to end has ended well, and is not started again. Nor is one that
	// found another at work.
	fmt.Fprintf(&b, "\nRestart=on-failure\nRestartSec=2\nSuccessExitStatus=%d\nTimeoutStopSec=%d\n", exit.Conflict, int(endTime.Seconds()))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "Environment=%s\n", unitQuoted(name+"="+env[name]))
	}
	b.WriteString("\n[Install]\nWantedBy=default.target\n")
	return b.String()
}

// unitQuoted quotes a word in which systemd replaces specifiers.
func unitQuoted(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`).Replace(word) + `"`
}

// unitWord quotes an argument of a command, in which it replaces variables too.
func unitWord(word string) string { return strings.ReplaceAll(unitQuoted(word), "$", "$$") }

// agent is an agent of launchd (launchd.plist(5)).
func agent(program string, arguments []string, env map[string]string) string {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n<dict>\n")
	entry := func(indent, key, value string) {
		b.WriteString(indent + "<key>" + plistText(key) + "</key>\n" + indent + value + "\n")
	}
	text := func(s string) string { return "<string>" + plistText(s) + "</string>" }
	entry("\t", "Label", text(ServiceName))
	var words strings.Builder
	for _, w := range append([]string{program}, arguments...) {
		words.WriteString("\t\t" + text(w) + "\n")
	}
	entry("\t", "ProgramArguments", "<array>\n"+words.String()+"\t</array>")
	if len(env) > 0 {
		b.WriteString("\t<key>EnvironmentVariables</key>\n\t<dict>\n")
		for _, name := range slices.Sorted(maps.Keys(env)) {
			entry("\t\t", name, text(env[name]))
		}
		b.WriteString("\t</dict>\n")
	}
	entry("\t", "RunAtLoad", "<true/>")
	// A daemon that was told to end has ended well, and is not started again.
	entry("\t", "KeepAlive", "<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>")
	entry("\t", "ThrottleInterval", "<integer>2</integer>")
	entry("\t", "ProcessType", text("Interactive")) // it answers people who wait
	b.WriteString("</dict>\n</plist>\n")
	return b.String()
}

func plistText(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // to memory
	return b.String()
}
