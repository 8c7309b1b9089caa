package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/profile"
)

const (
	// runsFolder has a folder for each run of "mezu dev" of this person, in the folder of state.
	// It is locked by the run: so what a killed one left is told apart.
	runsFolder = "dev-runs"
	// runFile says in it what others need to know of the run.
	runFile = "run.json"
	// maxRun bounds that file: addresses and paths.
	maxRun = 16 << 10
	// turnFile is locked, in the folder of profiles, by the run that looks for the others and chooses
	// what they have not: of two that start at once, one knows of the other. It stays there, as
	// runsFolder does not.
	turnFile = ".dev.lock"
	// turnTime bounds the wait for it. It is had for milliseconds, unless whoever has it hangs.
	turnTime = 5 * time.Second
)

// runRecord is what others need to know of a run of "mezu dev".
type runRecord struct {
	PID int `json:"pid"`
	// URL is where the environment answers, or where public HTTPS listens as long as that is not
	// known.
	URL       string `json:"url"`
	HTTPSAddr string `json:"https_addr"`
	APIAddr   string `json:"api_addr"`
	State     string `json:"state"`
	// Profile is that of the run, Socket and API what it has in it. One that is not dev.Profile ends
	// with the run.
	Profile string `json:"profile"`
	Socket  string `json:"socket,omitempty"`
	API     string `json:"api,omitempty"`
}

// runs are the runs of "mezu dev" of this person.
type runs struct {
	dir      string // empty if there is no home
	profiles profile.Store
}

// runsOf are those that keep their state in these folders.
func runsOf(folders home.Home, profiles profile.Store) runs {
	if folders.State == "" {
		return runs{profiles: profiles}
	}
	return runs{filepath.Join(folders.State, runsFolder), profiles}
}

// alive are the runs that go on. What killed ones left is removed. What can't be read or removed
// stays: it is in nobody's way.
func (r runs) alive() (out []runRecord) {
	entries, err := os.ReadDir(r.dir)
	if r.dir == "" || err != nil {
		return nil
	}
	for _, e := range entries {
		dir := filepath.Join(r.dir, e.Name())
		is, readErr := readRun(dir)
		if readErr != nil && young(e, time.Now()) {
			continue // it is just being made
		}
		lock, err := atomicfile.Lock(dir)
		switch {
		case errors.Is(err, atomicfile.ErrLocked):
			if readErr == nil {
				out = append(out, is)
			}
		case err == nil:
			if readErr == nil {
				_, _ = r.forget(is) // else the profile stays, and leads nowhere
			}
			if lock.Close() == nil {
				_ = os.RemoveAll(dir) // the next run tries again
			}
		}
	}
	_ = os.Remove(r.dir) // unless there are some
	return out
}

// turn waits until no other run chooses. Without a folder nobody is waited for.
func (r runs) turn(ctx context.Context) (end func()) {
	if r.dir == "" || r.profiles.Dir == "" || atomicfile.EnsureDir(r.profiles.Dir) != nil {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	lock, err := atomicfile.LockFile(ctx, filepath.Join(r.profiles.Dir, turnFile))
	if err != nil {
		return func() {} // then two may collide, and one of them says so
	}
	return func() { _ = lock.Close() }
}

func readRun(dir string) (is runRecord, err error) {
	text, err := atomicfile.ReadFile(filepath.Join(dir, runFile), maxRun)
	if err == nil {
		err = json.Unmarshal(text, &is)
	}
	return is, err
}

// forget removes the profile of a run that has ended, unless it lives longer or is another's now. It
// reports whether that was the default.
func (r runs) forget(is runRecord) (wasDefault bool, err error) {
	if is.Profile == dev.Profile || is.API == "" {
		return false, nil
	}
	p, err := r.profiles.Load(is.Profile)
	if errors.Is(err, profile.ErrNone) {
		return false, nil
	}
	if err != nil || p.API != is.API || p.Socket != is.Socket {
		return false, err
	}
	name, err := r.profiles.Default()
	return name == is.Profile, errors.Join(err, r.profiles.Remove(is.Profile))
}

// handOver makes the profile of a run that goes on the default.
func (r runs) handOver() error {
	for _, is := range r.alive() {
		if is.API != "" {
			return r.profiles.SetDefault(is.Profile)
		}
	}
	return nil
}

// registered is a run in the list of all.
type registered struct {
	runs
	dir  string // empty if it could not be listed
	lock io.Closer
	is   runRecord
}

// register lists a run. One that can't be listed runs all the same.
func (r runs) register(is runRecord) *registered {
	out := &registered{runs: r, is: is}
	if r.dir == "" || atomicfile.EnsureDir(r.dir) != nil {
		return out
	}
	dir, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return out
	}
	if out.lock, err = atomicfile.Lock(dir); err != nil {
		_ = os.RemoveAll(dir)
		return out
	}
	out.dir = dir
	out.update(func(*runRecord) {})
	return out
}

// update changes what is said of the run.
func (r *registered) update(change func(*runRecord)) {
	change(&r.is)
	if r.dir == "" {
		return
	}
	if text, err := json.Marshal(r.is); err == nil {
		_ = atomicfile.Write(filepath.Join(r.dir, runFile), text, 0o600) // others know less of it
	}
}

// end takes the run off the list, and removes its profile if that ends with it. Commands that name
// none find another run then, if there is one.
func (r *registered) end() error {
	wasDefault, err := r.forget(r.is)
	if r.dir != "" {
		defer r.turn(context.Background())() // none makes its folder while that of all is removed
		err = errors.Join(err, r.lock.Close(), os.RemoveAll(r.dir))
		_ = os.Remove(r.runs.dir) // unless there are others
	}
	if wasDefault {
		err = errors.Join(err, r.handOver())
	}
	return err
}

// claim chooses addresses and profile, and lists the run. If another one is in its way, that is
// the error, whatever they would have collided about first.
func (r *devRun) claim(ctx context.Context, all runs) (err error) {
	defer all.turn(ctx)()
	others := all.alive()
	for _, is := range others {
		if is.State == r.state {
			return r.runsAlready(is)
		}
	}
	if r.HTTPSAddr, err = r.address("https-addr", r.HTTPSAddr, r.AnyHTTPS, others); err != nil {
		return err
	}
	if r.APIAddr, err = r.address("api-addr", r.APIAddr, r.AnyAPI, others); err != nil {
		return err
	}
	if r.HTTPSAddr, r.port, err = fixPort(r.HTTPSAddr); err != nil {
		return err
	}
	r.profileName = dev.Profile
	for _, is := range others {
		if is.Profile == dev.Profile {
			r.profileName = ""
		}
	}
	if r.Ephemeral || r.profileName == "" {
		r.profileName = all.freeProfile(r.port, others)
	}
	r.listed = all.register(runRecord{PID: os.Getpid(), URL: "https://" + r.HTTPSAddr, HTTPSAddr: r.HTTPSAddr, APIAddr: r.APIAddr, State: r.state, Profile: r.profileName})
	return nil
}

// freeProfile is the name of a profile for a run on a port that nobody has.
func (r runs) freeProfile(port int, others []runRecord) string {
	taken, _ := r.profiles.Names() // what can't be read can't be written either, which is said then
	for _, is := range others {
		taken = append(taken, is.Profile) // which it may not have written yet
	}
	first := dev.Profile + "-" + strconv.Itoa(port)
	name := first
	for n := 2; slices.Contains(taken, name); n++ {
		name = first + "-" + strconv.Itoa(n)
	}
	return name
}

// address is the one to listen on: that which was asked for, or, where another one does as well,
// one with a free port.
func (r *devRun) address(flag, asked string, anyPort bool, others []runRecord) (string, error) {
	host, port, err := net.SplitHostPort(asked)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", asked)
	if err == nil {
		err = l.Close()
	}
	other := slices.IndexFunc(others, func(is runRecord) bool {
		if err != nil {
			return port == portOf(is.HTTPSAddr) || port == portOf(is.APIAddr)
		}
		return asked == is.HTTPSAddr || asked == is.APIAddr // where it will listen in a moment
	})
	switch {
	case err == nil && (other < 0 || port == "0"):
		return asked, nil
	case anyPort:
		return net.JoinHostPort(host, "0"), nil
	case other >= 0:
		return "", r.runsAlready(others[other])
	}
	e := mezu.CannotListen(flag, asked, err)
	e.Hint += ", or " + r.ephemerally()
	return "", e
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// runsAlready says that another run is in the way.
func (r *devRun) runsAlready(is runRecord) error {
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("mezu dev runs already here: %s (pid %d)", is.URL, is.PID), Hint: "stop it, or " + r.ephemerally()}
}

// ephemerally is how to run beside another run.
func (r *devRun) ephemerally() string {
	command := "mezu dev "
	if r.TargetText != "" {
		command += r.TargetText + " "
	}
	return command + "--ephemeral, which picks free ports"
}

// lockedState is the error of a run whose state another one has.
func (r *devRun) lockedState(all runs, cause error) error {
	for _, is := range all.alive() {
		if is.State == r.state && is != r.listed.is {
			return r.runsAlready(is)
		}
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: "mezu dev runs already here, with the folder " + r.state, Hint: "stop it, or " + r.ephemerally(), Cause: cause}
}
