package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// deliveryClaims: the table has rowids, so that claims are appended and completed in place, and only the index is written at
// random. Files of earlier versions keep their form.
var deliveryClaims = kind{what: "the file of the delivery claims", application: 0x53697043, version: 1, tables: `
CREATE TABLE IF NOT EXISTS claims (
	id      TEXT NOT NULL,
	channel TEXT NOT NULL,
	state   TEXT NOT NULL,
	owner   TEXT NOT NULL,
	until   INTEGER NOT NULL, -- when the lease ends, and the other times: milliseconds of Unix time
	at      INTEGER NOT NULL, -- when it was delivered or failed
	class   TEXT NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (id, channel)
)
`, outdated: func(string) string { return "restore it from a copy" }}

// Claims are the delivery claims in one file.
type Claims struct {
	*file
	owner string // this handle
	clock func() time.Time
}

// OpenClaims opens the claims at path and creates the file if there is none, in a folder that must exist, readable by this
// user alone. It deletes what is older than [store.ClaimsKept]. Leases take the time from clock, such as [time.Now].
func OpenClaims(ctx context.Context, path string, clock func() time.Time) (*Claims, error) {
	f, err := openFile(ctx, deliveryClaims, path, lockTimeout)
	if err != nil {
		return nil, err
	}
	c := &Claims{file: f, owner: uuid.NewString(), clock: clock}
	err = c.write(ctx, "DELETE FROM claims WHERE changed < ?", c.clock().Add(-store.ClaimsKept).UnixMilli())
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Claims) write(ctx context.Context, text string, args ...any) error {
	return c.do(ctx, true, func(t *tx) error { return t.exec(text, args...) })
}

const setClaim = `INSERT INTO claims (id, channel, state, owner, until, at, class, changed) VALUES (?, ?, ?, ?, ?, ?, '', ?)
	ON CONFLICT DO UPDATE SET state = excluded.state, owner = excluded.owner, until = excluded.until,
		at = excluded.at, class = '', changed = excluded.changed`

// Claim implements [store.Claims].
func (c *Claims) Claim(ctx context.Context, id, channel string, lease time.Duration) (store.Claim, time.Duration, error) {
	if err := store.CheckClaim(id); err != nil {
		return store.Held, 0, err
	}
	var claim store.Claim
	var left time.Duration
	// A lease need not survive a power failure: its holder, a process on this machine, has ended too.
	err := c.do(ctx, false, func(t *tx) error {
		now := c.clock()
		claim, left = store.Claimed, 0 // it may be run again
		const text = "SELECT state, until FROM claims WHERE id = ? AND channel = ?"
		err := t.each(context.Background(), text, []any{id, channel}, func(rows *sql.Rows) error {
			var state store.DeliveryState
			var until int64
			if err := rows.Scan(&state, &until); err != nil {
				return err
			}
			if state == store.Delivered {
				claim = store.Done
			} else if now.UnixMilli() < until && until <= store.LatestLease(now, lease).UnixMilli() {
				claim, left = store.Held, time.UnixMilli(until).Sub(now)
			}
			return nil
		})
		if err != nil || claim != store.Claimed {
			return err
		}
		return t.exec(setClaim, id, channel, store.Pending, c.owner, now.Add(lease+time.Millisecond-1).UnixMilli(), 0,
			now.UnixMilli())
	})
	if err != nil {
		return store.Held, 0, err
	}
	return claim, left, nil
}

// Complete implements [store.Claims].
func (c *Claims) Complete(ctx context.Context, id, channel string) error {
	now := c.clock().UnixMilli()
	return c.write(ctx, setClaim, id, channel, store.Delivered, c.owner, 0, now, now)
}

// Fail implements [store.Claims].
func (c *Claims) Fail(ctx context.Context, id, channel, class string) error {
	return c.end(ctx, id, channel, store.Failed, c.clock().UnixMilli(), class)
}

// Release implements [store.Claims].
func (c *Claims) Release(ctx context.Context, id, channel string) error {
	return c.end(ctx, id, channel, store.Pending, 0, "")
}

func (c *Claims) end(ctx context.Context, id, channel string, state store.DeliveryState, at int64, class string) error {
	return c.write(ctx, `UPDATE claims SET state = ?, until = 0, at = ?, class = ?, changed = ?
		WHERE id = ? AND channel = ? AND owner = ? AND until > 0`, state, at, class, c.clock().UnixMilli(), id, channel, c.owner)
}

// Deliveries implements [store.Claims].
func (c *Claims) Deliveries(ctx context.Context, ids ...string) (map[string][]store.Delivery, error) {
	found := map[string][]store.Delivery{}
	array, _ := json.Marshal(ids) // texts have no errors
	const text = "SELECT id, channel, state, at, class FROM claims WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id, channel"
	err := c.each(ctx, text, []any{string(array)}, func(rows *sql.Rows) error {
		var id string
		var d store.Delivery
		var at int64
		if err := rows.Scan(&id, &d.Channel, &d.State, &at, &d.Class); err != nil {
			return err
		}
		if at != 0 {
			d.At = events.At(time.UnixMilli(at))
		}
		found[id] = append(found[id], d)
		return nil
	})
	return found, err
}

// Ping implements [store.Claims].
func (c *Claims) Ping(ctx context.Context) error {
	_, err := c.Deliveries(ctx)
	return err
}
