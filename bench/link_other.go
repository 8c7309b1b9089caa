//go:build !linux

package main

import (
	"errors"
	"os"
)

// link is nothing here.
type link struct {
	near, far     *os.File
	path, address string
}

var errNoLink = errors.New("a link with loss needs Linux")

func canLink() error { return errNoLink }

func layLink(string) (*link, error) { return nil, errNoLink }

func (*link) cut() error { return nil }
