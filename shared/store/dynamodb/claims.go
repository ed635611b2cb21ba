package dynamodb

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Claims are the delivery claims in one table, see [ClaimsDescription]: a row for each id, with an attribute for each channel.
type Claims struct {
	*table
	clock func() time.Time
	calls sync.Map // of Claim that made the claims of this handle, by [2]string of id and channel
}

// OpenClaims opens the claims that are kept in a table. Like [Open] it makes no network call. Leases take the time from
// clock, such as [time.Now].
func OpenClaims(cfg aws.Config, name string, clock func() time.Time) (*Claims, error) {
	t, err := openTable(cfg, "the delivery claims", ClaimsDescription(name), "CLAIMS_TABLE_NAME")
	if err != nil {
		return nil, err
	}
	return &Claims{table: t, clock: clock}, nil
}

// channelPrefix keeps the attributes of channels apart from the others.
const channelPrefix = "channel/"

// set replaces the attribute of a channel, if the condition holds. In it #c is the attribute; #state, #call and #until are
// its members.
func (c *Claims) set(ctx context.Context, id, channel string, claim row, condition string, values row) error {
	in := &dynamodb.UpdateItemInput{
		TableName: &c.name, Key: row{"id": text(id)}, UpdateExpression: aws.String("SET #c = :claim, expires = :expires"),
		ExpressionAttributeNames: map[string]string{"#c": channelPrefix + channel},
		ExpressionAttributeValues: row{":claim": &types.AttributeValueMemberM{Value: claim},
			":expires": number(c.clock().Add(store.ClaimsKept).Unix() + 1)},
	}
	if condition != "" {
		in.ConditionExpression = &condition
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
		maps.Copy(in.ExpressionAttributeValues, values)
		for _, name := range []string{"state", "call", "until"} {
			if strings.Contains(condition, "#"+name) {
				in.ExpressionAttributeNames["#"+name] = name
			}
		}
	}
	_, err := call(ctx, c.table, c.client.UpdateItem, in)
	return err
}

// Claim implements [store.Claims], by one conditional write. Each call signs the claim, so that one whose answer was lost
// recognises its own claim when it is sent again, and such a Fail or Release ends no later claim.
func (c *Claims) Claim(ctx context.Context, id, channel string, lease time.Duration) (store.Claim, time.Duration, error) {
	if err := store.CheckClaim(id); err != nil {
		return store.Held, 0, err
	}
	now, call := c.clock(), uuid.NewString()
	err := c.set(ctx, id, channel,
		row{"state": text(string(store.Pending)), "call": text(call),
			"until": number(now.Add(lease + time.Millisecond - 1).UnixMilli())},
		"attribute_not_exists(#c) OR (#c.#state <> :delivered AND (#c.#until <= :now OR #c.#until > :last))",
		row{":delivered": text(string(store.Delivered)), ":now": number(now.UnixMilli()),
			":last": number(store.LatestLease(now, lease).UnixMilli())})
	found, taken := existing(err)
	if !taken {
		if err != nil {
			return store.Held, 0, err
		}
		c.calls.Store([2]string{id, channel}, call)
		return store.Claimed, 0, nil
	}
	claim := claimOf(found, channel)
	switch {
	case textOf(claim["state"]) == string(store.Delivered):
		return store.Done, 0, nil
	case textOf(claim["call"]) == call:
		c.calls.Store([2]string{id, channel}, call)
		return store.Claimed, 0, nil
	}
	return store.Held, max(time.UnixMilli(numberOf(claim["until"])).Sub(c.clock()), time.Millisecond), nil
}

func claimOf(r row, channel string) row {
	if m, ok := r[channelPrefix+channel].(*types.AttributeValueMemberM); ok {
		return m.Value
	}
	return nil
}

// Complete implements [store.Claims].
func (c *Claims) Complete(ctx context.Context, id, channel string) error {
	c.calls.Delete([2]string{id, channel})
	return c.set(ctx, id, channel, row{"state": text(string(store.Delivered)), "at": number(c.clock().UnixMilli()),
		"until": number(0)}, "", nil)
}

// Fail implements [store.Claims].
func (c *Claims) Fail(ctx context.Context, id, channel, class string) error {
	return c.finish(ctx, id, channel,
		row{"state": text(string(store.Failed)), "at": number(c.clock().UnixMilli()), "class": text(class), "until": number(0)})
}

// Release implements [store.Claims].
func (c *Claims) Release(ctx context.Context, id, channel string) error {
	return c.finish(ctx, id, channel, row{"state": text(string(store.Pending)), "until": number(0)})
}

func (c *Claims) finish(ctx context.Context, id, channel string, claim row) error {
	call, mine := c.calls.Load([2]string{id, channel})
	if !mine {
		return nil
	}
	err := c.set(ctx, id, channel, claim, "#c.#call = :call AND #c.#until > :zero",
		row{":call": text(call.(string)), ":zero": number(0)})
	if _, notMine := existing(err); notMine || err == nil {
		c.calls.CompareAndDelete([2]string{id, channel}, call)
		return nil
	}
	return err
}

// Deliveries implements [store.Claims], by one request.
func (c *Claims) Deliveries(ctx context.Context, ids ...string) (map[string][]store.Delivery, error) {
	keys := make([]row, len(ids))
	for i, id := range ids {
		keys[i] = row{"id": text(id)}
	}
	rows, err := c.get(ctx, keys)
	if err != nil {
		return nil, err
	}
	found := map[string][]store.Delivery{}
	for _, r := range rows {
		id := textOf(r["id"])
		for name := range r {
			channel, ok := strings.CutPrefix(name, channelPrefix)
			if !ok {
				continue
			}
			claim := claimOf(r, channel)
			d := store.Delivery{Channel: channel, State: store.DeliveryState(textOf(claim["state"])), Class: textOf(claim["class"])}
			if at := numberOf(claim["at"]); at != 0 {
				d.At = events.At(time.UnixMilli(at))
			}
			found[id] = append(found[id], d)
		}
		slices.SortFunc(found[id], func(a, b store.Delivery) int { return strings.Compare(a.Channel, b.Channel) })
	}
	return found, nil
}

// Ping implements [store.Claims].
func (c *Claims) Ping(ctx context.Context) error {
	_, err := c.Deliveries(ctx, "ping")
	return err
}
