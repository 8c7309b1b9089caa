//go:build !unix

package folder

// withoutWaiting is nothing here: no path opens a pipe.
const withoutWaiting = 0
