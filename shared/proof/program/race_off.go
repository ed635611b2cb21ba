//go:build !race

package program

const RaceDetector = false
