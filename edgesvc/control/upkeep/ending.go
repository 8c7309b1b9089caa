package upkeep

import (
	"context"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/service"
)

// noticeInterval is how often what ends soon is said again: each day somebody may look.
const noticeInterval = 24 * time.Hour

// noticeEndings says what ends soon, at the start and every day. A failure waits for the next.
func (u Upkeep) noticeEndings(ctx context.Context) {
	notice := func(ctx context.Context) error {
		all, err := u.Service.Endings(ctx)
		if end := u.CertificateEnd(); !end.IsZero() {
			all = append(all, service.Ending{What: "the API's certificate", At: end, Next: "renew the file of --api-tls-cert; it is read again by itself"})
		}
		for _, e := range all {
			if notice := e.Notice(u.Now()); notice != "" {
				u.Log.Warn(notice, "what", e.What, "id", e.ID, "at", e.At.UTC().Format(time.RFC3339), "try", e.Next)
			}
		}
		return err
	}
	if err := notice(ctx); err != nil && ctx.Err() == nil {
		u.Log.Error("looking for what ends", "error", err)
	}
	u.every(ctx, noticeInterval, "looking for what ends", notice)
}
