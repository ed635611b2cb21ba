package console

import (
	"context"
	"net/http"
	"slices"

	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
)

// maxItems is how many results of an action are shown; the command line shows all.
const maxItems = 100

type auditQuery struct {
	From  int `query:"from" default:"0" min:"0" max:"1000000"`
	Limit int `query:"limit" default:"20" min:"1" max:"100"`
}

type auditView struct {
	Total   int                  `json:"total"`
	Actions []deadletters.Action `json:"actions"` // newest first
}

// audit answers GET /console/audit.
func (d *deadLetters) audit(ctx context.Context, q auditQuery) (auditView, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	all, err := d.DeadLetters.Audit(ctx)
	if err != nil {
		return auditView{}, unavailable(err)
	}
	slices.Reverse(all)
	v := auditView{Total: len(all)}
	from := min(q.From, len(all))
	for _, a := range all[from:min(from+q.Limit, len(all))] {
		one := *a
		one.Items = a.Items[:min(len(a.Items), maxItems)]
		v.Actions = append(v.Actions, one)
	}
	return v, nil
}

const exportBuffer = 64 << 10 // bytes

// export answers GET /console/audit/records with all audit records, one a line. An answer that cannot be completed is cut off.
func (d *deadLetters) export(w http.ResponseWriter, r *http.Request) {
	write, lines := stream(w, "application/x-ndjson"), []byte{}
	err := d.DeadLetters.AuditRecords(r.Context(), func(a deadletters.AuditRecord) error {
		if lines = append(lines, line(a)...); len(lines) >= exportBuffer {
			write(lines)
			lines = lines[:0]
		}
		return nil
	})
	if err != nil {
		d.Logger.Warn("the audit records cannot be read", "error", events.LogText(err.Error()))
		panic(http.ErrAbortHandler)
	}
	write(lines)
}
