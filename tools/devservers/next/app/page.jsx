'use client'

export default function Page() {
  return <p id="words">before the edit</p>
}
