package trigger

import (
	"fmt"
	"strings"

	"github.com/sipeat/sipeat/shared/bus"
)

// Response names the records of a batch that AWS has to retry: of each partition the first that is not handled and all after
// it. It names none that was not in the batch, because AWS takes that for a failure of all of it. On success the list is
// empty, not null or missing.
//
// AWS reads it only for a mapping with ReportBatchItemFailures, which Kafka has in provisioned mode
// (https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html). For any other mapping every answer is a
// success.
type Response struct {
	Failures []Failure `json:"batchItemFailures"`
}

// Failure is a record to retry.
type Failure struct {
	Record Identifier `json:"itemIdentifier"`
}

// Identifier is where a record is; Partition is "<topic>-<number>".
type Identifier struct {
	Partition string `json:"partition"`
	Offset    int64  `json:"offset"`
}

// GivenBackError fails an invocation with records to retry where AWS reads no [Response]: the whole batch is retried.
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

// Error names each partition's first record that is not handled, how many there are, and why, without payload.
func (e *GivenBackError) Error() string {
	parts := make([]string, len(e.parts))
	for i, p := range e.parts {
		why := "for lack of time"
		if p.reason != nil {
			why = fmt.Sprintf("because of %q", p.reason.Error())
		}
		name := listName(p.first.Topic, p.first.Partition)
		parts[i] = fmt.Sprintf("%d of %s from offset %d, %s", p.n, name, p.first.Offset, why)
	}
	return fmt.Sprintf("%d of %d records are not handled and must be retried: %s",
		len(e.Response.Failures), e.Records, strings.Join(parts, "; "))
}
