package listening

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	for line, want := range map[string]string{
		"node|/app/node_modules/.bin/vite|--port|5173":                     "vite",
		"/usr/bin/node|node_modules/vite/bin/vite.js":                      "vite",
		"node|/app/node_modules/next/dist/bin/next|dev":                    "next",
		"next-server (v15.0.0)":                                            "next",
		"node|--require|./pre.js|node_modules/webpack-dev-server/bin/x.js": "webpack",
		"node|node_modules/@angular/cli/bin/ng|serve":                      "angular",
		"node|/app/node_modules/react-scripts/scripts/start.js":            "react-scripts",
		"node|/app/node_modules/@acme/own-server/main.js":                  "@acme/own-server",
		"node|server.js|--token=abc":                                       "server.js",
		"node|-e|require('http').listen('secret')":                         "",
		"node": "",
		`C:\Program Files\nodejs\node.exe|C:\app\node_modules\vite\bin\vite.js`: "vite",
		"python3.12|manage.py|runserver|8000":                                   "django",
		"python3|-m|http.server|8000":                                           "http.server",
		"python|/venv/bin/flask|run":                                            "flask",
		"/venv/bin/python|-m|uvicorn|app:app":                                   "uvicorn",
		"python3|app.py":                                                        "app.py",
		"ruby|bin/rails|server":                                                 "rails",
		"puma 6.4.0 (tcp://localhost:3000) [shop]":                              "puma",
		"php|artisan|serve":                                                     "laravel",
		"php|-S|127.0.0.1:8000|server.php":                                      "php -S",
		"java|-Dpassword=secret|-jar|/opt/shop.jar|--key=secret":                "shop.jar",
		"./api|serve|--dsn|postgres://u:p@h/d":                                  "./api serve",
		"/opt/shop/api|serve":                                                   "api serve",
		"./api|hunter2":                                                         "./api",
		"./api|Passw0rd":                                                        "./api",
		"./api|login|correcthorse":                                              "./api login",
		"./api|u:p@host":                                                        "./api",
		"./a/b/c/d|x":                                                           "d x",
		"/tmp/go-build1/b001/exe/main":                                          "main",
		"nginx: master process /usr/sbin/nginx":                                 "nginx",
		"":                                                                      "",
		" ":                                                                     "",
	} {
		if got := describe(strings.Split(line, "|")); got != want {
			t.Errorf("%s: %q instead of %q", line, got, want)
		}
	}
}

func TestString(t *testing.T) {
	for want, l := range map[string]Listener{
		"5173 (node, vite)":    {Port: 5173, Program: "node", Command: "vite"},
		"8080 (./api serve)":   {Port: 8080, Program: "api", Command: "./api serve"},
		"5432 (postgres)":      {Port: 5432, Program: "postgres"},
		"9000":                 {Port: 9000},
		"9001 (sh, ?[2Jclear)": arrange([]Listener{{Port: 9001, Program: "sh", Command: "\x1b[2Jclear"}})[0],
	} {
		if got := l.String(); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func TestArrange(t *testing.T) {
	four, six := []netip.Addr{netip.MustParseAddr("127.0.0.1")}, []netip.Addr{netip.IPv6Loopback()}
	got := arrange([]Listener{
		{Port: 80, Addresses: six, PID: 9, Program: "nginx"}, {Port: 80, Addresses: four, PID: 8, Program: "nginx"}, {Port: 80, Addresses: four, PID: 9, Program: "nginx"},
		{Port: 22, Addresses: four, PID: 1, Program: "sshd"},
	})
	if want := "[22 (sshd) 80 (nginx)]"; fmt.Sprint(got) != want || got[1].PID != 8 || fmt.Sprint(got[1].Addresses) != "[127.0.0.1 ::1]" {
		t.Errorf("%+v", got)
	}
}

const procTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1435 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 490 1 0000 100 0 0 10 0
   1: 0100007F:1436 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 491 1 0000 100 0 0 10 0
   2: 0100007F:1437 0100007F:0050 01 00000000:00000000 00:00000000 00000000  1000        0 492 1 0000 100 0 0 10 0
   3: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0  1000        0 493 1 0000
   4: 0100007F:99999 00000000:0000 0A 0 0 0  1000        0 494 1
   5: torn
`

func TestTables(t *testing.T) {
	proc, err := readProcNet(strings.NewReader(procTable), 1000)
	text := func(found []socket) string {
		var out []string
		for _, s := range found {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%v %d %d %s", s.address, s.inode, s.pid, s.program)))
		}
		return strings.Join(out, ", ")
	}
	if want := "127.0.0.1:5173 490 0, [::1]:8080 493 0"; text(proc) != want || err != nil {
		t.Errorf("%v, %v", proc, err)
	}
	lsof, err := readLsof(strings.NewReader("p812\ncnode\nf21\ntIPv6\nn*:5173\nf22\ntIPv4\nn127.0.0.1:9229\np900\ncapi\nf3\ntIPv6\nn[::1]:8080\nn*:http\n\n"))
	if want := "[::]:5173 0 812 node, 127.0.0.1:9229 0 812 node, [::1]:8080 0 900 api"; text(lsof) != want || err != nil {
		t.Errorf("%v, %v", lsof, err)
	}
	netstat, err := readNetstat(strings.NewReader("\r\nAktive Verbindungen\r\n\r\n  Proto  Lokale Adresse  Remoteadresse  Status  PID\r\n" +
		"  TCP    0.0.0.0:135     0.0.0.0:0      ABHÖREN     900\r\n  TCP    127.0.0.1:5173  127.0.0.1:6000  HERGESTELLT  901\r\n" +
		"  TCP    [::1]:8080      [::]:0         ABHÖREN     902\r\n  TCP    [fe80::1%4]:139 [::]:0 ABHÖREN 4\r\n  UDP    0.0.0.0:500     *:*                    903\r\n"))
	if want := "0.0.0.0:135 0 900, [::1]:8080 0 902, [fe80::1]:139 0 4"; text(netstat) != want || err != nil {
		t.Errorf("%v, %v", netstat, err)
	}
}

// A table of any length is read up to the bounds.
func TestTablesAreBounded(t *testing.T) {
	line := "   0: 0100007F:1435 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 490 1\n"
	if got, err := readProcNet(strings.NewReader(strings.Repeat(line, 3*maxListeners)), 1000); len(got) != maxListeners || err != nil {
		t.Errorf("%d, %v", len(got), err)
	}
	if _, err := readProcNet(strings.NewReader(strings.Repeat("x", 2*maxLine)), 1000); err == nil {
		t.Error("a line without end was read")
	}
}

func FuzzTables(f *testing.F) {
	f.Add(procTable)
	f.Add("p1\ncnode\nn*:80\n")
	f.Add("TCP [::1]:80 [::]:0 X 9\n")
	f.Fuzz(func(t *testing.T, text string) {
		for what, read := range map[string]func() ([]socket, error){
			"proc":    func() ([]socket, error) { return readProcNet(strings.NewReader(text), 1000) },
			"lsof":    func() ([]socket, error) { return readLsof(strings.NewReader(text)) },
			"netstat": func() ([]socket, error) { return readNetstat(strings.NewReader(text)) },
		} {
			found, _ := read()
			for _, s := range found {
				if !s.address.IsValid() {
					t.Errorf("%s: %+v", what, s)
				}
			}
		}
		describe(strings.Split(text, "\n"))
	})
}
