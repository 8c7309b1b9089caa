// Package home says where the files of the person who runs our programs are.
//
// What may not live here: reading or writing them. It imports the standard
// library only; cli and cmd import it.
package home

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Home are the folders of one person. They need not exist.
type Home struct {
	// Config holds profiles and credentials.
	Config string
	// State holds what programs keep between runs.
	State string
	// Socket is where the local daemon listens. On Windows it only names a pipe.
	Socket string
}

// Of finds the folders. They are below MEZU_HOME if it is set, else where the XDG base
// directory specification says ($XDG_CONFIG_HOME/mezu, $XDG_STATE_HOME/mezu), or, if its
// variables are not set, where the system keeps such files.
func Of(getenv func(string) string) (Home, error) {
	if root := getenv("MEZU_HOME"); root != "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return Home{}, err
		}
		return Home{Config: filepath.Join(abs, "config"), State: filepath.Join(abs, "state"), Socket: Socket(filepath.Join(abs, "run", socketName))}, nil
	}
	config, state := getenv("XDG_CONFIG_HOME"), getenv("XDG_STATE_HOME")
	// The specification says that a relative path in one of the variables is to be
	// ignored.
	if !filepath.IsAbs(config) {
		config = ""
	}
	if !filepath.IsAbs(state) {
		state = ""
	}
	if runtime.GOOS == "windows" {
		config, state = cmp.Or(config, getenv("APPDATA")), cmp.Or(state, getenv("LOCALAPPDATA"))
	} else if user := getenv("HOME"); user != "" {
		config, state = cmp.Or(config, filepath.Join(user, ".config")), cmp.Or(state, filepath.Join(user, ".local", "state"))
	}
	if config == "" || state == "" {
		return Home{}, errors.New("there is no home directory: set HOME or MEZU_HOME")
	}
	h := Home{Config: filepath.Join(config, "mezu"), State: filepath.Join(state, "mezu")}
	h.Socket = Socket(filepath.Join(h.State, "daemon", socketName))
	// Containers set the variable and don't make the folder, which is not ours to make.
	if run := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) && isDir(run) {
		h.Socket = Socket(filepath.Join(run, "mezu", socketName))
	}
	return h, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

const (
	// socketName is the socket's in its folder, which holds nothing of anybody else.
	socketName = "daemon.sock"
	// maxSocket is the longest path of a socket: systems allow 104 to 108 bytes.
	maxSocket = 100
)

// Socket is where a process listens that would at path: there, or, if that is longer than a
// system allows, in a folder below /tmp of this person's own, which is another one for each
// path.
func Socket(path string) string {
	if len(path) <= maxSocket || runtime.GOOS == "windows" {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join("/tmp", fmt.Sprintf("mezu-%d-%x", os.Getuid(), sum[:6]), socketName)
}
