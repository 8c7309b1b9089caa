package edge

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminTimeout bounds each read and write of the admin listener. The bound on the head of a
// request is that of the public listener.
const adminTimeout = 10 * time.Second

// newAdminServer serves health and metrics.
func (e *Edge) newAdminServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := e.unready(); why != "" {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
		for _, doubt := range e.member.Doubts() {
			fmt.Fprintf(w, "warning: %s\n", doubt)
		}
		// What the disk doesn't take is in force all the same. An edge that said no would be
		// taken out of a balancer with all others whose disks are full.
		if n := e.member.Unsaved(); n > 0 {
			fmt.Fprintf(w, "warning: its disk does not take %d of its files; what they say is in force, and has to be fetched again after a restart\n", n)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.metrics.registry, promhttp.HandlerOpts{}))
	return admission.Serve(&http.Server{Handler: mux, ReadHeaderTimeout: adminTimeout, ReadTimeout: adminTimeout, WriteTimeout: adminTimeout, MaxHeaderBytes: web.MaxHead,
		ErrorLog: slog.NewLogLogger(e.cfg.Log.Handler(), slog.LevelDebug)})
}
