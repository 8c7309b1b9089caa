//go:build unix

package local_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if do := os.Getenv("MEZU_TEST_STRANGER"); do != "" {
		beStranger(do, os.Getenv("MEZU_TEST_SOCKET"))
		return
	}
	goleak.VerifyTestMain(m)
}
