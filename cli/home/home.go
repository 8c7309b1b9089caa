// Package home says where the files of the person who runs our programs are.
//
// What may not live here: reading or writing them. It imports the standard
// library only; cli and cmd import it.
package home

import (
	"cmp"
	"errors"
	"path/filepath"
	"runtime"
)

// Home are the folders of one person. They need not exist.
type Home struct {
	// Config holds profiles and credentials.
	Config string
	// State holds what programs keep between runs.
	State string
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
		return Home{Config: filepath.Join(abs, "config"), State: filepath.Join(abs, "state")}, nil
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
	return Home{Config: filepath.Join(config, "mezu"), State: filepath.Join(state, "mezu")}, nil
}
