package events_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// FuzzDecode: no record makes Decode panic, and a decoded event can be written and read again unchanged.
// Search on with: go test -fuzz FuzzDecode ./shared/events
func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/*.json", "testdata/typescript/*.json"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, path := range paths {
			record, err := os.ReadFile(path)
			require.NoError(f, err)
			f.Add(record)
		}
	}
	f.Add([]byte(`{"eventId":"\ud83e","eventType":"contact-created","data":{"id":"` + "\xff" +
		`","timestamp":"9999-12-31T23:59:59-01:00"}}`))
	f.Add([]byte(`{"eventId":"1","eventType":"request-created","data":{"id":"r","drinksList":[null,""],"timestamp":null},` +
		`"metadata":null}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, d := range events.Catalogue() {
			e, err := d.Decode(record)
			if err != nil {
				assert.ErrorIs(t, err, events.ErrNotUnderstood)
				assert.Regexp(t, `^[ -~]+$`, err.Error(), "the text is our own")
				continue
			}
			b, err := e.Encode()
			require.NoError(t, err)
			again, err := d.Decode(b)
			require.NoError(t, err, "%s", b)
			twice, err := again.Encode()
			require.NoError(t, err)
			require.Equal(t, string(b), string(twice))
		}
	})
}
