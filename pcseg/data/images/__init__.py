"""Images with a label for every pixel: readers of data sets, augmentation, batches."""
