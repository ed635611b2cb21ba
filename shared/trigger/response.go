package trigger

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sipeat/sipeat/shared/bus"
)

// Response is what AWS is told of a batch: which of its records are given back. It is made by [Handler] alone, from the
// records of the batch, because AWS takes a name that was not in the batch for a failure of all of it. The zero value says
// that all went well.
//
// AWS understands it only of a mapping that has ReportBatchItemFailures, which for Kafka there is in provisioned mode:
// https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html. Of any other it takes every answer for
// success.
type Response struct {
	givenBack []bus.Position
}

// GivenBack lists the records that come again: of each partition the first that is not handled and all behind it.
func (r Response) GivenBack() []bus.Position { return append([]bus.Position(nil), r.givenBack...) }

// MarshalJSON is the response in AWS's form. When all went well its list is empty, not null or missing.
func (r Response) MarshalJSON() ([]byte, error) {
	dst := []byte(`{"batchItemFailures":[`)
	for i, p := range r.givenBack {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, `{"itemIdentifier":{"partition":`...), listName(p.Topic, p.Partition))
		dst = append(strconv.AppendInt(append(dst, `,"offset":`...), p.Offset, 10), "}}"...)
	}
	return append(dst, "]}"...), nil
}

// GivenBackError is how a batch ends of which something is given back, where AWS understands no [Response]: the whole batch
// comes again.
type GivenBackError struct {
	Response Response
	Records  int // of the batch

	parts []part
}

// part is what is given back of one partition.
type part struct {
	first  bus.Position
	n      int
	reason error // nil = there was no time
}

// Error names each partition's first record that is not handled, how many there are, and why: without what is said in the
// event.
func (e *GivenBackError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d records are not handled and must come again", len(e.Response.givenBack), e.Records)
	for i, p := range e.parts {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		fmt.Fprintf(&b, "%d of %s from offset %d, ", p.n, listName(p.first.Topic, p.first.Partition), p.first.Offset)
		if p.reason == nil {
			b.WriteString("for which there was no time")
		} else {
			fmt.Fprintf(&b, "because of %q", p.reason.Error())
		}
	}
	return b.String()
}
