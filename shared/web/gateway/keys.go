package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web/bearer"
)

const (
	// keysFresh: then they are read again while the old ones serve. A key that the issuer withdraws is trusted so long;
	// API Gateway keeps keys for up to two hours.
	keysFresh = 15 * time.Minute
	// keysKept is how long keys serve while the issuer is away.
	keysKept = 24 * time.Hour
	// keysPause stands between two readings, so that tokens with invented key ids are no way to flood the issuer.
	keysPause = 5 * time.Second
	// keysSaid stands between two lines in the log about an issuer that is away: each 503 that follows says why by itself.
	keysSaid = 15 * time.Minute
)

// keys are the public keys of an issuer, read when they are first needed. At most one reading runs at a time, and nobody
// waits for it whose key is known.
type keys struct {
	issuer issuer
	logger *slog.Logger
	now    func() time.Time

	mu         sync.Mutex
	byID       map[string]jose.JSONWebKey
	generation int           // changes with the keys
	read       time.Time     // when they were last read; zero = never
	tried      time.Time     // when that was last begun
	reading    chan struct{} // closed at its end; nil = none runs
	err        error         // of the last try
	said       time.Time     // when that was last logged; zero = all is well
}

func newKeys(url string, logger *slog.Logger, now func() time.Time) *keys {
	return &keys{issuer: newIssuer(url), logger: logger, now: now}
}

// current tells whether what was verified with the keys of a generation still stands.
func (k *keys) current(generation int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.refresh(now)
	return k.generation == generation && k.usable(now)
}

// find returns a key and its generation. An unknown one is looked for at the issuer.
func (k *keys) find(ctx context.Context, id string) (jose.JSONWebKey, int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for asked := false; ; asked = true {
		now := k.now()
		k.refresh(now)
		key, ok := k.byID[id]
		if ok && k.usable(now) {
			return key, k.generation, nil
		}
		if k.reading == nil && !asked && now.Sub(k.tried) >= keysPause {
			k.start(now)
		}
		if reading := k.reading; reading != nil && !asked {
			if err := k.wait(ctx, reading); err != nil {
				return key, 0, events.Wrap(events.Unavailable, err, "Whose tokens are good could not be found out in time.")
			}
			continue
		}
		if k.err != nil || !k.usable(now) { // the issuer might know this key
			return key, 0, &events.Error{Kind: events.Unavailable, Message: "Whose tokens are good cannot be found out now.",
				RetryAfter: keysPause, Err: k.err}
		}
		return key, 0, bearer.Invalid("the token's key is not known")
	}
}

// ping reads the keys if they never were, and says what came of the last try.
func (k *keys) ping(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.reading == nil && (k.read.IsZero() || k.err != nil) {
		k.start(now)
	}
	if k.reading != nil {
		if err := k.wait(ctx, k.reading); err != nil {
			return err
		}
	}
	return k.err
}

// usable: under the lock, as all below.
func (k *keys) usable(now time.Time) bool { return !k.read.IsZero() && now.Sub(k.read) < keysKept }

// refresh reads keys again that are no longer fresh.
func (k *keys) refresh(now time.Time) {
	if !k.read.IsZero() && now.Sub(k.read) >= keysFresh && now.Sub(k.tried) >= keysPause && k.reading == nil {
		k.start(now)
	}
}

func (k *keys) wait(ctx context.Context, reading chan struct{}) error {
	k.mu.Unlock()
	defer k.mu.Lock()
	select {
	case <-reading:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start reads the keys, not under the context of whoever asked first: others wait for them too.
func (k *keys) start(now time.Time) {
	k.tried, k.reading = now, make(chan struct{})
	go func(done chan struct{}) {
		byID, err := k.issuer.read()
		k.mu.Lock()
		defer k.mu.Unlock()
		defer close(done)
		k.reading, k.err = nil, err
		if err != nil {
			if k.said.IsZero() || now.Sub(k.said) >= keysSaid {
				k.said = now
				k.logger.Warn("the keys of JWT_ISSUER cannot be read", "error", err, "known", len(k.byID))
			}
			return
		}
		if !k.said.IsZero() {
			k.logger.Info("the keys of JWT_ISSUER can be read again")
		}
		k.read, k.said = now, time.Time{}
		if !sameKeys(k.byID, byID) {
			k.byID = byID
			k.generation++
		}
	}(k.reading)
}

func sameKeys(a, b map[string]jose.JSONWebKey) bool {
	if len(a) != len(b) {
		return false
	}
	for id, key := range a {
		was, err := key.MarshalJSON()
		other, known := b[id]
		is, err2 := other.MarshalJSON()
		if !known || errors.Join(err, err2) != nil || string(was) != string(is) {
			return false
		}
	}
	return true
}
