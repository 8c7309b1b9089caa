export const words = 'before the edit'
