package store

import (
	"context"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// ClaimsKept is how long a claim is kept after its last change. An event that is older may have been delivered and its
// claim be gone, so a consumer must not deliver it.
const ClaimsKept = 400 * 24 * time.Hour

// Claim is the outcome of a claim.
type Claim int

const (
	Claimed Claim = iota // the caller holds it until the lease ends
	Held                 // a lease is running: another process's, or an earlier one of the caller's own
	Done                 // the effect happened: nothing is left to do
)

// DeliveryState is how far a delivery is.
type DeliveryState string

const (
	Pending   DeliveryState = "pending" // claimed, or given back after a failure that another try may overcome
	Delivered DeliveryState = "delivered"
	Failed    DeliveryState = "failed" // refused for good; it is claimed again only if its event is delivered again
)

// Delivery is what the claims know about one effect by one channel. It is shown to callers of the API.
type Delivery struct {
	Channel string        `json:"channel" jsonschema:"log, smtp, ses or discord"`
	State   DeliveryState `json:"state" jsonschema:"pending, delivered or failed"`
	At      events.Time   `json:"at,omitzero" jsonschema:"when it was delivered or failed"` // zero = pending
	Class   string        `json:"class,omitempty" jsonschema:"why it failed: the class of the dead letter"`
}

// Claims keeps effects that must not be repeated (a mail, a chat message) to one sender: claim, send, complete. An effect is
// named by an id (of a notification) and a channel, which may be "".
//
// Claims are stored apart from the read model, in their own table or file: neither rebuilding or deleting a read model nor
// resetting the offsets of a consumer group repeats an effect. They are kept for [ClaimsKept]. Errors are those of a read
// model, see [Store].
type Claims interface {
	// Claim requests the exclusive right to cause the effect for the length of the lease. A lease that has
	// run out can be claimed again, so can one that ends after [LatestLease], and an effect that failed. After Unavailable the
	// effect may be claimed: the next try finds it Held until the lease ends. left is how long a Held one is held, by this
	// handle's clock; otherwise 0.
	Claim(ctx context.Context, id, channel string, lease time.Duration) (claim Claim, left time.Duration, err error)
	// Complete marks the effect as done, no matter which process holds the claim: call it only when the effect has happened.
	Complete(ctx context.Context, id, channel string) error
	// Fail ends this handle's claim and notes that the effect was refused for good, and why. It changes nothing when the claim is
	// not this handle's: completed, never made, or claimed by another process since.
	Fail(ctx context.Context, id, channel, class string) error
	// Release ends this handle's claim after a failure that surely had no effect, so that the next try need not wait. Like Fail, it
	// changes nothing when the claim is not this handle's.
	Release(ctx context.Context, id, channel string) error
	// Deliveries returns the states of the effects of at most [MaxLimit] distinct ids, by id and ordered by channel. An id of
	// which nothing is known is absent.
	Deliveries(ctx context.Context, ids ...string) (map[string][]Delivery, error)
	// Ping reports whether the claims can be reached and read.
	Ping(ctx context.Context) error
	// Close is like [Store.Close].
	Close() error
}

// LatestLease is when a lease that is running can end at the latest, if one that begins now would have this length. An hour is
// allowed for clocks and leases that differ. A lease that ends later was set by a badly skewed clock and is ignored.
func LatestLease(now time.Time, lease time.Duration) time.Time { return now.Add(lease + time.Hour) }

// CheckClaim refuses, as Invalid, an id that cannot be claimed.
func CheckClaim(id string) error {
	if !validID(id) {
		return events.Errorf(events.Invalid, "a claim needs an id of 1 to %d bytes of UTF-8", MaxID)
	}
	return nil
}
