package api

// LogoType is the media type of logos.
const LogoType = "image/png"

// Image is a body or an answer of a call that is a PNG and not JSON.
type Image []byte
