package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A table shows the first rows and counts the others; JSON has all.
func TestLongTablesAreCutOff(t *testing.T) {
	var actions []*deadletters.Action
	for n := range 103 {
		actions = append(actions, &deadletters.Action{Kind: deadletters.Redrive, Who: fmt.Sprintf("user-%03d", n)})
	}
	var out strings.Builder
	a := &app{stdout: &out}
	require.NoError(t, a.printAudit(actions))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 102)
	assert.Contains(t, lines[100], "user-099")
	assert.Equal(t, "… and 3 more; --json shows all", lines[101])

	out.Reset()
	a.json = true
	require.NoError(t, a.printAudit(actions))
	lines = strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 103)
}
