# PowerShell completion for mezu
Register-ArgumentCompleter -Native -CommandName mezu -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  # Windows PowerShell passes no empty argument on.
  if ($wordToComplete -eq '') { $words += '__empty' } else { $words += $wordToComplete }
  & mezu __complete @words 2>$null | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
