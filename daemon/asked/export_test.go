package asked

// FrameOf is a record of any content.
func FrameOf(value any) ([]byte, error) { return frame(nil, value) }
