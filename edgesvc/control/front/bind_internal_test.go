package front

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

func TestBind_Taken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	var e *mezu.Error
	err = New(Config{APIAddr: addr}).Bind()
	if !errors.As(err, &e) || e.Field != "api-addr" || strings.Count(e.Detail, addr) != 1 || !strings.Contains(e.Hint, "--api-addr") {
		t.Errorf("an address that is taken: %v", err)
	}
}
