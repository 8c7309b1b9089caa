package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// referenceHost is the name under which references are addressed.
const referenceHost = "bench.localhost"

// parseWithPair parses the flags of a server, -cert and -key among them, and loads
// its certificate.
func parseWithPair(f *flag.FlagSet, args []string) (tls.Certificate, error) {
	cert, key := f.String("cert", "", ""), f.String("key", "", "")
	if err := f.Parse(args); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(*cert, *key)
}

// runGoProxy is Go's ReverseProxy without a tunnel, set up as one would who wants
// it fast: connections to the workload are kept, and copies take pooled buffers.
func runGoProxy(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("goproxy", flag.ContinueOnError)
	upstream := f.String("upstream", "", "")
	h2c := f.Bool("h2c", false, "") // towards the upstream
	collect := f.String("collect", "", "")
	pair, err := parseWithPair(f, args)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	to := &url.URL{Scheme: "http", Host: *upstream}
	if *collect != "" {
		collector, err := serveCollect(*collect)
		if err != nil {
			return err
		}
		defer collector.Close()
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
	if *h2c {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
		},
		Transport:  transport,
		BufferPool: &bufferPool{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
	server := &http.Server{Handler: proxy, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go server.ServeTLS(l, "", "")
	fmt.Fprintln(out, l.Addr())
	<-ctx.Done()
	return server.Close()
}

// serveCollect collects garbage when asked to, as the profiler of our programs does.
func serveCollect(socket string) (*http.Server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() }), ReadHeaderTimeout: answerTime}
	go server.Serve(l)
	return server, nil
}

// bufferPool lends ReverseProxy its copy buffers of 32 KiB.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// nginxConf terminates TLS and forwards over kept connections. Nothing is spooled
// to disk, the cipher is the one that Go's servers choose, and a worker runs per
// core.
const nginxConf = `worker_processes 2;
daemon off;
pid %[1]s/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  tcp_nodelay on;
  upstream workload { server %[3]s; keepalive 1024; keepalive_requests 1000000000; }
  map $http_upgrade $upgrade { default upgrade; '' ''; }
  server {
    listen %[2]s ssl http2;
    server_name _;
    ssl_certificate %[4]s;
    ssl_certificate_key %[5]s;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    location / {
      proxy_pass http://workload;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upgrade;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 300s;
    }
  }
}
`

// startNginx starts nginx in the foreground from a configuration of its own.
func startNginx(ctx context.Context, dir, upstream string, pair certificateFiles) (*process, string, error) {
	program, err := lookPath("nginx", "nginx-light")
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	home := filepath.Join(dir, "nginx")
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, "", err
	}
	conf := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, home, addr, upstream, pair.cert, pair.key), 0o600); err != nil {
		return nil, "", err
	}
	p, err := start(dir, "nginx", false, nil, program, "-p", home, "-c", conf, "-e", "stderr")
	if err != nil {
		return nil, "", err
	}
	_, err = p.awaitListening(ctx, addr)
	return p, addr, err
}

// certificateFiles is a certificate and its key in PEM.
type certificateFiles struct{ cert, key string }

// makeCertificate makes the ECDSA P-256 certificate that all references show. The
// clients of this benchmark don't verify certificates.
func makeCertificate(dir string) (certificateFiles, error) {
	files := certificateFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	now := time.Now()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{referenceHost}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return files, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return files, err
	}
	if err := os.WriteFile(files.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return files, err
	}
	return files, os.WriteFile(files.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

// parsePeer reads NAME=https://host:port[#PID,PID].
func parsePeer(text string) (target, error) {
	name, address, _ := strings.Cut(text, "=")
	u, err := url.Parse(address)
	if err != nil || name == "" || u.Scheme != "https" || u.Port() == "" || u.Path != "" {
		return target{}, fmt.Errorf("a peer is NAME=https://HOST:PORT, not %q", text)
	}
	t := target{name: name, host: u.Hostname(), addr: u.Host, secure: true, h2: true}
	if u.Fragment == "" {
		return t, nil
	}
	p := &process{name: name}
	for id := range strings.SplitSeq(u.Fragment, ",") {
		var pid int
		if _, err := fmt.Sscan(id, &pid); err != nil {
			return target{}, fmt.Errorf("%q is not the number of a process", id)
		}
		p.pids = append(p.pids, pid)
	}
	t.procs = []*process{p}
	return t, nil
}
