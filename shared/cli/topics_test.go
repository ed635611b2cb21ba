package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sipeat/sipeat/shared/bus/kafka"
)

func TestWhatIsAmissWithTopics(t *testing.T) {
	var (
		well    = kafka.TopicState{Exists: true}
		missing = kafka.TopicState{}
		differs = kafka.TopicState{Exists: true, Differences: make([]kafka.Difference, 2)}
	)
	assert.NoError(t, amiss([]kafka.TopicState{well, well}))
	assert.EqualError(t, amiss([]kafka.TopicState{well, missing, differs}), "2 of 3 topics are missing or differ; `sipeat topics` creates what is missing")
	assert.EqualError(t, amiss([]kafka.TopicState{well, differs}), "1 of 2 topics differ; beside each difference stands how to mend it")
}
