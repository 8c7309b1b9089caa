//go:build unix

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mode bits.
const (
	groupWrites  = 0o020
	othersWrite  = 0o002
	anyoneWrites = groupWrites | othersWrite
	// beyondOwner is everything that anybody but the owner may do. beyondGroup is the same
	// without reading by the group.
	beyondOwner = 0o077
	beyondGroup = 0o037
	// stickyBit is the sticky bit as chmod takes it.
	stickyBit = 0o1000
)

// maxLinks bounds the symbolic links on a path, as operating systems do.
const maxLinks = 40

// open opens a file for reading without blocking, because somebody may have put a pipe in
// its place.
func open(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) }

// checkDir is CheckDir without the words around it.
func checkDir(path string) error {
	dir, err := follow(path)
	if err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if err := judgeDir(dir, info, false); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return err
		}
		if owner := ownerOf(info); !trusted(owner) {
			path := filepath.Join(dir, e.Name())
			return &ExposedError{Path: path, Problem: fmt.Sprintf("belongs to user %d, who may have put it there", owner),
				Remedy: fmt.Sprintf("see where it comes from; then rm -r %s, or sudo chown %d %s", path, os.Geteuid(), path)}
		}
	}
	return nil
}

// checkWay checks the directories on the path to a file.
func checkWay(path string) error {
	_, err := follow(path)
	return err
}

// follow resolves a path as the system does, name by name from the root on, and checks each
// directory and symbolic link. It returns the path without links.
func follow(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	at, links := "/", 0
	rest := names(abs)
	for len(rest) > 0 {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if err := judgeDir(at, info, true); err != nil {
			return "", err
		}
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		if info, err = os.Lstat(next); err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s leads through more than %d symbolic links", path, maxLinks)
		}
		if owner := ownerOf(info); !trusted(owner) {
			return "", &ExposedError{Path: next, Problem: fmt.Sprintf("is a symbolic link of user %d, who can have it lead anywhere", owner),
				Remedy: "see where it comes from and remove it, or name another path"}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = slices.Concat(names(target), rest)
	}
	return at, nil
}

// names are the parts of a path, without those that mean nothing.
func names(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(n string) bool { return n == "" || n == "." })
}

// judgeDir checks one directory. above says that the files are further down.
func judgeDir(path string, info fs.FileInfo, above bool) error {
	owner, perm := ownerOf(info), info.Mode().Perm()
	if !trusted(owner) {
		return &ExposedError{Path: path, Problem: fmt.Sprintf("belongs to user %d, who can change what is in it", owner),
			Remedy: fmt.Sprintf("run this as that user, or sudo chown %d %s", os.Geteuid(), path)}
	}
	if above && info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	if info.Mode()&fs.ModeSticky != 0 {
		perm |= stickyBit
	}
	who := ""
	switch {
	case perm&othersWrite != 0:
		who = "everyone on this machine"
	case perm&groupWrites != 0 && !ownGroup(info):
		who = fmt.Sprintf("group %d", groupOf(info))
	default:
		return nil
	}
	return &ExposedError{Path: path, Problem: fmt.Sprintf("can be written by %s (mode %04o)", who, perm), Remedy: sudo(owner) + "chmod go-w " + path}
}

// checkFile checks that nobody else could have written a file and, if it is secret, that
// nobody else can read it.
func checkFile(path string, info fs.FileInfo, secret bool) error {
	owner, perm := ownerOf(info), info.Mode().Perm()
	if !trusted(owner) {
		return &ExposedError{Path: path, Problem: fmt.Sprintf("belongs to user %d, who can change it", owner),
			Remedy: fmt.Sprintf("see where it comes from; if it is yours, sudo chown %d %s", os.Geteuid(), path)}
	}
	beyond := fs.FileMode(beyondOwner)
	switch {
	case !secret:
		beyond = anyoneWrites
	case owner != os.Geteuid() && inGroup(groupOf(info)):
		beyond = beyondGroup
	}
	if perm&beyond == 0 {
		return nil
	}
	done := "read"
	if perm&anyoneWrites != 0 {
		done = "written"
	}
	remedy := "chmod 600 " + path + ", if nobody else knows it or has changed it"
	if !secret {
		remedy = "chmod go-w " + path + ", if nobody else has changed it"
	}
	return &ExposedError{Path: path, Problem: fmt.Sprintf("can be %s by others (mode %04o)", done, perm),
		Remedy: sudo(owner) + remedy}
}

// sudo is the beginning of a command that must be run as the owner.
func sudo(owner int) string {
	if owner == os.Geteuid() {
		return ""
	}
	return "sudo "
}

// trusted reports whether a user is root or the user of this process.
func trusted(uid int) bool { return uid == 0 || uid == os.Geteuid() }

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

func groupOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Gid) }

// ownGroup reports whether a directory's group gives nobody more rights: the group is the
// user's private one, or root's, or root gave the directory to a group of this process.
func ownGroup(info fs.FileInfo) bool {
	group := groupOf(info)
	if ownerOf(info) == 0 {
		return group == 0 || inGroup(group)
	}
	return group == os.Getegid() && private(group)
}

// inGroup reports whether this process is of a group.
func inGroup(group int) bool {
	groups, err := os.Getgroups()
	return group == os.Getegid() || err == nil && slices.Contains(groups, group)
}

// private reports whether a group is the user's own. Systems that make a group for each user
// give it the number or the name of the user.
func private(group int) bool {
	if group == os.Geteuid() {
		return true
	}
	u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		return false
	}
	g, err := user.LookupGroupId(strconv.Itoa(group))
	return err == nil && g.Name == u.Username
}
