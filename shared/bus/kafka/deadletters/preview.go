package deadletters

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
)

// MaxRedrives is how often an event is redriven, unless a preview asks for more. After that it is parked: the fault is not cured.
const MaxRedrives = 3

// PreviewOptions relax what a preview refuses.
type PreviewOptions struct {
	MaxRedrives int  // 0 = [MaxRedrives]
	OutOfOrder  bool // redrive events although later ones of their key were handled
}

// Preview is a set of open rejections, pinned by its token.
type Preview struct {
	Token    string    `json:"token"` // what [Client.Act] acts on; it does not expire
	Count    int       `json:"count"` // of the whole set
	Eligible int       `json:"eligible"`
	Refused  []Refusal `json:"refused"`
}

// Refusal is a rejection that would not be redriven.
type Refusal struct {
	ID       string `json:"id"`
	Consumer string `json:"consumer"`
	Why      string `json:"why"`
}

type token struct {
	Filter   Filter         `json:"f"`
	Options  PreviewOptions `json:"o"`
	Bounds   bounds         `json:"b"`
	Count    int            `json:"n"`
	Set      []byte         `json:"s"` // the digest of the set, which also names the cluster
	Eligible []byte         `json:"e"` // a bit for each rejection
}

func (t *token) eligible(i int) bool { return t.Eligible[i/8]>>(i%8)&1 == 1 }

// maxToken limits the content of a token, after decompression: that of a preview of ten million rejections.
const maxToken = 2 << 20

// String is the token as text. Gzip makes it short, and adds a checksum.
func (t *token) String() (string, error) {
	var text strings.Builder
	encoder := base64.NewEncoder(base64.RawURLEncoding, &text)
	compressor := gzip.NewWriter(encoder)
	err := errors.Join(json.MarshalWrite(compressor, t, json.Deterministic(true)), compressor.Close(), encoder.Close())
	return text.String(), err
}

func parseToken(text string) (t *token, err error) {
	content, err := gzip.NewReader(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(text)))
	if err == nil {
		err = json.UnmarshalRead(io.LimitReader(content, maxToken), &t)
	}
	if err != nil || t == nil || t.Count < 0 || len(t.Eligible) != (t.Count+7)/8 {
		return t, events.Errorf(events.Invalid, "that is not the token of a preview, or not all of it: make a new preview")
	}
	return t, nil
}

// CheckToken is Invalid if the text is not the token of a preview.
func CheckToken(text string) error {
	_, err := parseToken(text)
	return err
}

func digest(set []*Rejection) []byte {
	hash := sha256.New()
	for _, r := range set {
		fmt.Fprintf(hash, "%s %q %d %q %d\n", r.ID, r.Consumer, r.Redrives, r.Key, r.LastAt.UnixNano())
	}
	return hash.Sum(nil)[:12]
}

// Preview selects the open rejections that match and finds out which can be redriven. It changes nothing.
func (c *Client) Preview(ctx context.Context, f Filter, o PreviewOptions) (*Preview, error) {
	o.MaxRedrives = cmp.Or(o.MaxRedrives, MaxRedrives)
	s := &snapshot{filter: f, values: true}
	set, err := c.read(ctx, nil, s)
	if err != nil {
		return nil, err
	}
	later := map[*Rejection]int64{}
	if !o.OutOfOrder {
		if later, err = c.handledLater(ctx, set, s.dead); err != nil {
			return nil, err
		}
	}
	t := token{Filter: f, Options: o, Bounds: s.bounds, Count: len(set), Set: digest(set), Eligible: make([]byte, (len(set)+7)/8)}
	p := &Preview{Count: len(set), Refused: []Refusal{}}
	for i, r := range set {
		why, err := c.refusal(ctx, r, o)
		if err != nil {
			return nil, err
		}
		if at, ok := later[r]; ok && why == "" {
			why = fmt.Sprintf("a later event of its key was handled, at offset %d; --out-of-order redrives it nevertheless", at)
		}
		if why != "" {
			p.Refused = append(p.Refused, Refusal{r.ID, r.Consumer, why})
			continue
		}
		p.Eligible++
		t.Eligible[i/8] |= 1 << (i % 8)
	}
	for _, ends := range t.Bounds {
		maps.DeleteFunc(ends, func(_ int32, end int64) bool { return end == 0 }) // keeps the token short
	}
	p.Token, err = t.String()
	return p, err
}

// refusal is why a rejection cannot be redriven; "" = it can.
func (c *Client) refusal(ctx context.Context, r *Rejection, o PreviewOptions) (string, error) {
	switch {
	case r.Class == bus.TooLarge:
		return "its value was left out, because it was too large", nil
	case r.Redrives >= o.MaxRedrives:
		return fmt.Sprintf("parked: redriven %d times already; --max-redrives allows more", r.Redrives), nil
	}
	err := c.Check(ctx, r.Consumer, r.Record)
	switch {
	case err == nil:
		return "", nil
	case events.KindOf(err) == events.Unavailable, ctx.Err() != nil:
		return "", cmp.Or(ctx.Err(), err)
	}
	return "it would be rejected again: " + err.Error(), nil
}

// handledLater finds rejections of which a later event with the same key was handled, and the offset of that.
func (c *Client) handledLater(ctx context.Context, set []*Rejection, dead map[source]bool) (map[*Rejection]int64, error) {
	type group struct{ topic, consumer string }
	type queue struct {
		partition int32
		key       string
	}
	waiting := map[group][]*Rejection{}
	for _, r := range set {
		g := group{r.Topic, r.Consumer}
		waiting[g] = append(waiting[g], r)
	}
	later := map[*Rejection]int64{}
	for g, rejections := range waiting {
		groups, err := kafka.Groups(ctx, c.Cluster, map[string]string{g.consumer: g.topic})
		if err != nil {
			return nil, err
		}
		until := groups[0].Committed
		from, queues := maps.Clone(until), map[queue][]*Rejection{}
		for _, r := range rejections {
			if r.Key != "" {
				q := queue{r.Partition, r.Key}
				queues[q] = append(queues[q], r)
				from[q.partition] = min(from[q.partition], r.Offset+1)
			}
		}
		_, err = kafka.ReadTopic(ctx, c.Cluster, c.Logger, g.topic, from, until, func(record bus.Record) error {
			q := queue{record.Partition, string(record.Key)}
			if q.key != "" && queues[q] == nil || !record.RedrivenFor(g.consumer) { // the consumer has not handled that
				return nil
			}
			eventID, key := record.Identify()
			q.key = key
			for _, r := range queues[q] {
				repeat := eventID != "" && eventID == r.EventID
				if record.Offset > r.Offset && !repeat && !dead[source{record.Position(), g.consumer}] {
					later[r] = record.Offset
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return later, nil
}
